-- Takes a lease that nobody holds and gives its holder a fencing number higher than any before.
--
-- KEYS  [1] lease hash, [2] fence counter
-- ARGV  owner, lifetime in ms
-- RETURN {token, ""}              taken, or held by this owner already (its first reply was lost) and extended
--        {0, owner, remaining ms} somebody else holds it; nothing was written

local owner, lifetime_ms = ARGV[1], ARGV[2]
local holder = redis.call('HGET', KEYS[1], 'owner')
if holder == owner then
  redis.call('PEXPIRE', KEYS[1], lifetime_ms)
  return {tonumber(redis.call('HGET', KEYS[1], 'token')), ''}
end
if holder then return {0, holder, redis.call('PTTL', KEYS[1])} end
local token = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], 'owner', owner, 'token', token)
redis.call('PEXPIRE', KEYS[1], lifetime_ms)
return {token, ''}
