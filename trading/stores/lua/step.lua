-- One atomic step: compare what it was computed from, then write. Checks come first, because an error in a script
-- does not undo the writes before it: nothing is written unless every write will succeed.
--
-- KEYS  [1] the operation's answer, [2..] every other key of the step, each once
-- ARGV  [1] a MessagePack list:
--       operation lifetime in ms
--       index in KEYS of the lease (0: none), its token
--       number of expectations, then each: key index, kind, number of values, values...
--           kind "string": one value, the raw string; "absent": no value; "hash": field, value, ... all of the hash;
--           "field": field, value, of a hash that may have others
--       number of writes, then each: key index, command, number of arguments
--       [2..] of each write its arguments, MessagePack strings one after the other, which become those of the command
--       without a table between
-- RETURN {"ok", stream id of each XADD...}     everything was written
--        {"repeated", stream ids...}           this operation was applied before; nothing was written now
--        {"lease", owner or ""}                the lease is not the caller's; nothing was written
--        {"conflict", key}                     an expectation does not hold; nothing was written
--        {"refused", key, reason}              a write could not succeed; nothing was written

local TYPE_WRITTEN = {
  SET = 'string', SADD = 'set', SREM = 'set', ZADD = 'zset', ZREM = 'zset', LPUSH = 'list',
  HSET = 'hash', HDEL = 'hash', XADD = 'stream',
}
local ARGUMENTS_MAX = 4000 -- of one write, and writes of a step: unpack() fails near 8000

local given = cmsgpack.unpack(ARGV[1])
local position = 0
local function take()
  position = position + 1
  return given[position]
end
-- Passes over a list and returns where it lies in the list: a list of thousands is never copied.
local function take_many()
  local count = take()
  local first = position + 1
  position = position + count
  return first, position
end

local function type_of(key)
  return redis.call('TYPE', key)['ok']
end

local function hash_equals(key, first, last)
  if type_of(key) ~= 'hash' or redis.call('HLEN', key) * 2 ~= last - first + 1 then return false end
  for i = first, last, 2 do
    if redis.call('HGET', key, given[i]) ~= given[i + 1] then return false end
  end
  return true
end

local function holds(key, kind, first, last)
  if kind == 'hash' then return hash_equals(key, first, last) end
  if kind == 'field' then
    return type_of(key) == 'hash' and redis.call('HGET', key, given[first]) == given[first + 1]
  end
  return type_of(key) == 'string' and redis.call('GET', key) == given[first]
end

-- Returns why Redis would reject the write, or nil. `types` tells what earlier writes of the step leave behind.
local function objection(key, command, count, arguments, types)
  if command == 'DEL' then
    types[key] = 'none'
    return count > 0 and 'DEL takes no arguments' or nil
  end
  local wanted = TYPE_WRITTEN[command]
  if not wanted then return command .. ' is not a command of a step' end
  local found = types[key] or type_of(key)
  if found ~= 'none' and found ~= wanted then return command .. ' on a ' .. found end
  if count == 0 or count > ARGUMENTS_MAX then return command .. ' with ' .. count .. ' arguments' end
  local pairs_of = command == 'HSET' or command == 'XADD' or command == 'ZADD'
  if pairs_of and count % 2 ~= 0 then return command .. ' with an odd number of arguments' end
  if command == 'SET' and count ~= 1 then return 'SET with ' .. count .. ' arguments' end
  if command == 'ZADD' then
    local told = {cmsgpack.unpack(arguments)}
    for i = 1, count, 2 do
      if not string.match(told[i], '^-?%d+$') then return 'ZADD with the score ' .. told[i] end
    end
  end
  if command ~= 'SREM' and command ~= 'ZREM' and command ~= 'HDEL' then types[key] = wanted end
  return nil
end

local lifetime_ms, lease_index, token = take(), take(), take()
if lease_index > 0 then
  local held = redis.call('HMGET', KEYS[lease_index], 'token', 'owner')
  if held[1] ~= token then return {'lease', held[2] or ''} end
end

local types = {} -- what is at a key, as far as it is known
local absent, others = {KEYS[1]}, {}
for _ = 1, take() do
  local key, kind = KEYS[take()], take()
  local first, last = take_many()
  if kind == 'absent' or (kind == 'hash' and last < first) then
    types[key] = 'none'
    absent[#absent + 1] = key
  else
    others[#others + 1] = {key, kind, first, last}
  end
end

-- One call for the operation's answer and whatever must not be there: mostly there is nothing.
if #absent > ARGUMENTS_MAX or redis.call('EXISTS', unpack(absent)) > 0 then
  -- After the lease: an engine that was paused past it must not take another engine's step for its own.
  local answered = redis.call('GET', KEYS[1])
  if answered then
    local reply = {'repeated'}
    for id in string.gmatch(answered, '%S+') do reply[#reply + 1] = id end
    return reply
  end
  for i = 2, #absent do
    if redis.call('EXISTS', absent[i]) == 1 then return {'conflict', absent[i]} end
  end
end
for _, other in ipairs(others) do
  if not holds(unpack(other)) then return {'conflict', other[1]} end
end

local count = take()
if count > ARGUMENTS_MAX then return {'refused', KEYS[1], count .. ' writes in one step'} end
local before_writes = position
for i = 1, count do
  local key, command, size = KEYS[take()], take(), take()
  local reason = objection(key, command, size, ARGV[i + 1], types)
  if reason then return {'refused', key, reason} end
end

position = before_writes
local ids = {}
for i = 1, count do
  local key, command, size = KEYS[take()], take(), take()
  if command == 'XADD' then
    ids[#ids + 1] = redis.call('XADD', key, '*', cmsgpack.unpack(ARGV[i + 1]))
  elseif size == 0 then
    redis.call(command, key)
  else
    redis.call(command, key, cmsgpack.unpack(ARGV[i + 1]))
  end
end
redis.call('SET', KEYS[1], table.concat(ids, ' '), 'PX', lifetime_ms)
return {'ok', unpack(ids)}
