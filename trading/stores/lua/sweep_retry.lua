-- Has a record that was set aside dealt with once more at the next look; a hash that is gone is put back as it was.
--
-- KEYS  [1] swept  [2] set aside  [3] the record
-- ARGV  [1] name of the record in swept and set aside  [2] its dead letter  [3] kind "hash", "string" or "element"
--       [4..] the content that was set aside: fields and values of a hash, the string, the element
-- RETURN "ok", "gone" (there is nothing to be dealt with), or the id of a later dead letter of this record

local swept, set_aside, key = unpack(KEYS)
local name, letter, kind = ARGV[1], ARGV[2], ARGV[3]

local open = redis.call('HGET', set_aside, name)
if open and open ~= letter then return open end

local type = redis.call('TYPE', key)['ok']
if kind == 'element' then
  if type ~= 'list' or not redis.call('LPOS', key, ARGV[4]) then return 'gone' end
  redis.call('HDEL', swept, key) -- the place in the list: all of it is read again
elseif type == 'none' then
  if kind ~= 'hash' or #ARGV < 5 then return 'gone' end
  redis.call('HSET', key, unpack(ARGV, 4))
end
redis.call('HSET', set_aside, name, letter)
redis.call('HSET', swept, name, 'retry:' .. letter)
return 'ok'
