-- Gives a lease back, if the caller still holds it.
--
-- KEYS  [1] lease hash
-- ARGV  token
-- RETURN 1 given back, 0 the lease has expired or is somebody else's; nothing was written

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
