-- Extends a lease, if the caller still holds it.
--
-- KEYS  [1] lease hash
-- ARGV  token, lifetime in ms
-- RETURN 1 extended, 0 the lease has expired or is somebody else's; nothing was written

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
