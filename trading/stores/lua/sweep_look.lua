-- One slice of the keyspace: the records in it that the sweep has not dealt with as they stand.
--
-- Of a hash, swept keeps the 8 bytes of checksum at the end of its DUMP, by which it is passed over without reading its
-- fields, and their SHA-1: Redis may keep the same fields in another order or form after a restart. Then the checksum is
-- noted anew; nothing else is written.
--
-- KEYS  [1] swept: hash, key of a record -> checksum and SHA-1 of a hash, or SHA-1 of a string, that was dealt with
-- ARGV  cursor and COUNT of SCAN
--       number of beginnings of keys of result hashes, then each
--       number of portfolios, then of each: beginning of the keys of its open trades, of its closed ones,
--       key of its index of closed trades
-- RETURN {next cursor, number of records in the slice, {kind, key, swept ("" if never), content...}, ...}
--        kinds: "hash" (content: field, value, ...), "open", "closed" (content: the string), "standing" (an open trade of
--        another program that was dealt with; no content), "wrong" (content: the key's type, where that or the size is wrong)

local TEXTS_OF_OURS = {'"version":', '"origin":"engine"'} -- a trade's record has both only if our engine wrote it

local FIELDS_MAX = 500 -- of a hash; a result has 25
local BYTES_MAX = 262144 -- of a string; a trade has 3,000

local swept = KEYS[1]
local position = 2
local function take()
  position = position + 1
  return ARGV[position]
end

local hashes, portfolios = {}, {}
for i = 1, tonumber(take()) do hashes[i] = take() end
for i = 1, tonumber(take()) do portfolios[i] = {open = take(), closed = take(), index = take()} end

local function begins(key, with)
  return string.sub(key, 1, #with) == with
end

local function is_hash_key(key)
  for _, beginning in ipairs(hashes) do
    if begins(key, beginning) then return true end
  end
  return false
end

local function is_ours(raw)
  for _, text in ipairs(TEXTS_OF_OURS) do
    if not string.find(raw, text, 1, true) then return false end
  end
  return true
end

local found, count = {}, 0

local function report(kind, key, known, content)
  local line = {kind, key, known or ''}
  for _, part in ipairs(content) do line[#line + 1] = part end
  found[#found + 1] = line
end

local function digest_of(fields)
  local pairs = {}
  for i = 1, #fields, 2 do pairs[#pairs + 1] = fields[i] .. '\0' .. fields[i + 1] end
  table.sort(pairs)
  return redis.sha1hex(table.concat(pairs, '\0'))
end

local function look(kind, key, known, content)
  if known ~= redis.sha1hex(table.concat(content, '\0')) then
    report(kind, key, known, content)
  elseif kind == 'open' then
    report('standing', key, known, {})
  end
end

local function look_at_hash(key, known)
  count = count + 1
  local length = redis.pcall('HLEN', key)
  if length == 0 then return end -- it has just been removed
  if type(length) ~= 'number' or length > FIELDS_MAX then
    return look('wrong', key, known, {redis.call('TYPE', key)['ok']})
  end
  local checksum = string.sub(redis.call('DUMP', key), -8)
  if known and string.sub(known, 1, 8) == checksum then return end
  local fields = redis.call('HGETALL', key)
  if known and string.sub(known, 9) == digest_of(fields) then
    redis.call('HSET', swept, key, checksum .. string.sub(known, 9))
  else
    report('hash', key, known, fields)
  end
end

local function look_at_trade(kind, key, known, portfolio)
  if kind == 'closed' and redis.call('ZSCORE', portfolio.index, string.sub(key, #portfolio.closed + 1)) then return end
  count = count + 1
  local type = redis.call('TYPE', key)['ok']
  if type == 'string' and redis.call('STRLEN', key) <= BYTES_MAX then
    local raw = redis.call('GET', key)
    if not is_ours(raw) then look(kind, key, known, {raw}) end
  elseif type ~= 'none' then
    look('wrong', key, known, {type})
  end
end

local answer = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
local names = answer[2]
local knowns = #names > 0 and redis.call('HMGET', swept, unpack(names)) or {}
for i, key in ipairs(names) do
  local known = knowns[i]
  if is_hash_key(key) then
    look_at_hash(key, known)
  else
    for _, portfolio in ipairs(portfolios) do
      if begins(key, portfolio.open) then look_at_trade('open', key, known, portfolio) end
      if begins(key, portfolio.closed) then look_at_trade('closed', key, known, portfolio) end
    end
  end
end
return {answer[1], count, unpack(found)}
