-- A learned reference is stored once: the first worker to finish wins, and what it learned from is forgotten.
-- KEYS: references, learning
-- ARGV: field of the version, bytes it must hold now ('' = none), new bytes, then fields of learning to delete
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HINCRBY', KEYS[1], 'revision', 1)
for i = 4, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
return 1
