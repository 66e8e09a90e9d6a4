-- One slice of the keyspace: the records in it that the sweep has not dealt with as they stand. Writes nothing.
--
-- KEYS  [1] swept: hash, key of a record -> digest of the content that was dealt with
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

local function look(kind, key, content)
  local known = redis.call('HGET', swept, key)
  if known ~= redis.sha1hex(table.concat(content, '\0')) then
    report(kind, key, known, content)
  elseif kind == 'open' then
    report('standing', key, known, {})
  end
end

local function look_at_hash(key)
  local type = redis.call('TYPE', key)['ok']
  count = count + 1
  if type == 'hash' and redis.call('HLEN', key) <= FIELDS_MAX then
    look('hash', key, redis.call('HGETALL', key))
  elseif type ~= 'none' then
    look('wrong', key, {type})
  end
end

local function look_at_trade(kind, key, portfolio)
  if kind == 'closed' and redis.call('ZSCORE', portfolio.index, string.sub(key, #portfolio.closed + 1)) then return end
  count = count + 1
  local type = redis.call('TYPE', key)['ok']
  if type == 'string' and redis.call('STRLEN', key) <= BYTES_MAX then
    local raw = redis.call('GET', key)
    if not is_ours(raw) then look(kind, key, {raw}) end
  elseif type ~= 'none' then
    look('wrong', key, {type})
  end
end

local answer = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
for _, key in ipairs(answer[2]) do
  if is_hash_key(key) then
    look_at_hash(key)
  else
    for _, portfolio in ipairs(portfolios) do
      if begins(key, portfolio.open) then look_at_trade('open', key, portfolio) end
      if begins(key, portfolio.closed) then look_at_trade('closed', key, portfolio) end
    end
  end
end
return {answer[1], count, unpack(found)}
