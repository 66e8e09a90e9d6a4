-- Removes a result hash that every durable store has, or notes when to look at it again. Checks come first.
--
-- KEYS  [1] swept  [2] set aside  [3] index of hot hashes: name -> time of the last change, us  [4] lease of a backup
--       [5] the hash
-- ARGV  [1] name of the hash in swept, set aside and the index  [2] its time as the index had it
--       [3] "" to remove it, else the time for the index: it is looked at again when that is old
--       [4..] all fields and values that were read and compared with the stores; none: there was no hash
-- RETURN "removed", "later", or "moved" (the hash, its time or its state is no longer what was read), "held" (a backup
--        runs): nothing was changed

local swept, set_aside, index, backup, key = unpack(KEYS)
local name, time, again = ARGV[1], ARGV[2], ARGV[3]

if redis.call('EXISTS', backup) == 1 then return 'held' end
if redis.call('ZSCORE', index, name) ~= time then return 'moved' end

if again ~= '' then
  redis.call('ZADD', index, 'XX', again, name)
  return 'later'
end

if redis.call('HEXISTS', set_aside, name) == 1 then return 'moved' end
local type = redis.call('TYPE', key)['ok']
if #ARGV == 3 then
  if type ~= 'none' then return 'moved' end
else
  if type ~= 'hash' or redis.call('HLEN', key) * 2 ~= #ARGV - 3 then return 'moved' end
  for i = 4, #ARGV, 2 do
    if redis.call('HGET', key, ARGV[i]) ~= ARGV[i + 1] then return 'moved' end
  end
  redis.call('DEL', key)
end
redis.call('HDEL', swept, name)
redis.call('ZREM', index, name)
return 'removed'
