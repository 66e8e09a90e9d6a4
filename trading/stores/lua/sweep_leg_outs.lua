-- The elements of a leg-out list that another program pushed and the sweep has not dealt with. Writes nothing.
--
-- The list grows at its head, so a place in it is its length, the digest of its head, and that of its newest elements, of
-- which a change in place (LSET) shows. What lies behind both was read before. When the list does not bear out the place,
-- all of it is read.
--
-- KEYS  [1] swept: hash, list -> place; list#digest of an element -> digest or "retry:..."   [2] the list
-- ARGV  [1] most elements to return
-- RETURN {place ("" when there was more than that, or no list), {digest, swept ("" if never), element}, ...}

local SLICE = 100
local WATCHED = 500 -- newest elements; a megabyte would take Redis some 3 ms at each look
local TEXTS_OF_OURS = {'"portfolio":', '"timestamp_us":'}

local swept, list, found_max = KEYS[1], KEYS[2], tonumber(ARGV[1])
if redis.call('TYPE', list)['ok'] ~= 'list' then return {''} end

local length = redis.call('LLEN', list)
local newest = redis.call('LRANGE', list, 0, WATCHED - 1)
local place = length .. ' ' .. redis.sha1hex(newest[1]) .. ' ' .. redis.sha1hex(table.concat(newest, '\0'))
local known = redis.call('HGET', swept, list)
if known == place then return {place} end

local last = length - 1
if known then
  local known_length, known_head = string.match(known, '^(%d+) (%x+)')
  local pushed = known_length and length - tonumber(known_length) or -1
  local is_borne_out = pushed >= 0 and redis.sha1hex(redis.call('LINDEX', list, pushed)) == known_head
  if is_borne_out then last = math.max(pushed, #newest) - 1 end
end

local function is_ours(raw)
  for _, text in ipairs(TEXTS_OF_OURS) do
    if not string.find(raw, text, 1, true) then return false end
  end
  return true
end

local found = {}
for start = 0, last, SLICE do
  for _, raw in ipairs(redis.call('LRANGE', list, start, math.min(start + SLICE - 1, last))) do
    if not is_ours(raw) then
      local digest = redis.sha1hex(raw)
      local dealt = redis.call('HGET', swept, list .. '#' .. digest)
      if not dealt or string.sub(dealt, 1, 6) == 'retry:' then
        if #found == found_max then return {'', unpack(found)} end
        found[#found + 1] = {digest, dealt or '', raw}
      end
    end
  end
end
return {place, unpack(found)}
