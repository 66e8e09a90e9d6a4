-- Takes a lease that nobody holds, while none of its rivals is held, and gives its holder a fencing number higher than
-- any before. Its rivals' fence counters grow too: who was one of them and comes back finds that somebody was here.
--
-- KEYS  [1] lease hash, [2] fence counter, then the same two of each rival
-- ARGV  owner, lifetime in ms, a holder whose process is known to have ended (empty: none): its leases end now
-- RETURN {token, "", 0, ""}                   taken, or held by this owner already (its first reply was lost), extended
--        {0, owner, remaining ms, lease key}  somebody else holds this lease or a rival; nothing was written

local owner, lifetime_ms, gone = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', KEYS[1], 'owner') == owner then
  redis.call('PEXPIRE', KEYS[1], lifetime_ms)
  return {tonumber(redis.call('HGET', KEYS[1], 'token')), '', 0, ''}
end
for i = 1, #KEYS, 2 do
  local holder = redis.call('HGET', KEYS[i], 'owner')
  if holder and holder ~= gone then return {0, holder, redis.call('PTTL', KEYS[i]), KEYS[i]} end
end
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])  -- only one that has ended can stand there
end
for i = 4, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('INCR', KEYS[i]) end
end
local token = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], 'owner', owner, 'token', token)
redis.call('PEXPIRE', KEYS[1], lifetime_ms)
return {token, '', 0, ''}
