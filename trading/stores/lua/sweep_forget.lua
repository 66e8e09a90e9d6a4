-- Forgets records that are gone: a slice of what was swept.
--
-- KEYS  [1] swept
-- ARGV  [1] cursor [2] COUNT of HSCAN
-- RETURN {next cursor, how many were forgotten}

local answer = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local forgotten = 0
for i = 1, #answer[2], 2 do
  local name = answer[2][i]
  local key = string.match(name, '^(.*)#%x+$') or name -- an element of a list is forgotten with its list
  if redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', KEYS[1], name)
    forgotten = forgotten + 1
  end
end
return {answer[1], forgotten}
