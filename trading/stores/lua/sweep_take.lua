-- Deals with records that the sweep has read, one after the other: each is stamped and its row written into the outbox, or
-- set aside with a dead letter, or only noted as our own writer's. Of each, checks come first, then everything is written.
--
-- KEYS  [1] swept  [2] set aside  [3] counts  [4] outbox  [5] dead letters
--       then of each record: its key, the index of hot hashes that it belongs to
-- ARGV  one MessagePack list with a list for each record, of strings and of lists of strings:
--       verdict "accept", "aside" or "ours"; name of the record in swept and set aside; what swept said of it ("" nothing)
--       sentence: what became of it, for its dead letter; now in us
--       kind "hash", "string", "element" or "wrong"; the parts that were read
--       of the stamp: field, value, ...
--       of the entry: field, value, ... (accept: of the outbox, may be none; aside: the dead letter)
-- RETURN of each record 1, or 0 when it is no longer what was read: nothing of it was written

local swept, set_aside, counts, outbox, dead_letters = unpack(KEYS, 1, 5)

local function stands(key, known, name, kind, content)
  if (redis.call('HGET', swept, name) or '') ~= known then return false end
  if kind == 'element' then return true end
  local type = redis.call('TYPE', key)['ok']
  if kind == 'wrong' then return type == content[1] end
  if type ~= kind then return false end
  if kind == 'string' then return redis.call('GET', key) == content[1] end
  if redis.call('HLEN', key) * 2 ~= #content then return false end
  for i = 1, #content, 2 do
    if redis.call('HGET', key, content[i]) ~= content[i + 1] then return false end
  end
  return true
end

local function digest(key, kind, content) -- see sweep_look.lua
  if kind ~= 'hash' then return redis.sha1hex(table.concat(content, '\0')) end
  local fields, pairs = redis.call('HGETALL', key), {}
  for i = 1, #fields, 2 do pairs[#pairs + 1] = fields[i] .. '\0' .. fields[i + 1] end
  table.sort(pairs)
  return string.sub(redis.call('DUMP', key), -8) .. redis.sha1hex(table.concat(pairs, '\0'))
end

local function tell(letter, outcome, sentence, now_us, by)
  redis.call('XADD', dead_letters, '*', 'letter', letter, 'outcome', outcome, 'sentence', sentence, 'at_us', now_us, 'by', by)
end

local function take(key, hot, verdict, name, known, sentence, now_us, kind, content, stamp, entry)
  if not stands(key, known, name, kind, content) then return 0 end

  local letter = redis.call('HGET', set_aside, name)
  local is_retry = string.sub(known, 1, 6) == 'retry:' and letter == string.sub(known, 7)

  if verdict == 'aside' and is_retry then
    tell(letter, 'refused', sentence, now_us, '')
  elseif verdict == 'aside' then
    local new = redis.call('XADD', dead_letters, '*', unpack(entry))
    redis.call('HINCRBY', counts, 'seen', 1)
    redis.call('HINCRBY', counts, 'set_aside', 1)
    if letter then tell(letter, 'superseded', sentence, now_us, new) end
    redis.call('HSET', set_aside, name, new)
  else
    if #stamp > 0 then redis.call('HSET', key, unpack(stamp)) end
    if #entry > 0 then redis.call('XADD', outbox, '*', unpack(entry)) end
    if is_retry then
      redis.call('HINCRBY', counts, 'set_aside', -1)
      redis.call('HINCRBY', counts, 'accepted', 1)
    elseif verdict == 'accept' then
      redis.call('HINCRBY', counts, 'seen', 1)
      redis.call('HINCRBY', counts, 'accepted', 1)
    end
    if letter then
      tell(letter, 'accepted', sentence, now_us, '')
      redis.call('HDEL', set_aside, name)
    end
  end
  redis.call('HSET', swept, name, digest(key, kind, content))
  if kind == 'hash' and verdict == 'aside' then
    redis.call('ZREM', hot, name)
  elseif kind == 'hash' then
    redis.call('ZADD', hot, now_us, name)
  end
  return 1
end

local taken = {}
for place, record in ipairs(cmsgpack.unpack(ARGV[1])) do
  taken[place] = take(KEYS[4 + 2 * place], KEYS[5 + 2 * place], unpack(record))
end
return taken
