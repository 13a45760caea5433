-- A lease is taken when it is free and kept by whoever holds it; a TTL of 0 gives it back.
-- KEYS: lease
-- ARGV: owner, TTL ms
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
