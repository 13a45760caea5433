-- Take a partition over: a new epoch fences whoever owned it before.
-- KEYS: cursor            ARGV: field names to read
-- Returns: epoch, then the value of each field (false when absent)
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSET', KEYS[1], 'idle', 0)
local values = redis.call('HMGET', KEYS[1], unpack(ARGV))
table.insert(values, 1, epoch)
return values
