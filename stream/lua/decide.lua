-- A verdict and its messages commit together, and only on the revision they were computed from.
-- KEYS: state, outbox
-- ARGV: expected revision, state bytes, then (sequence, bytes) per message
local stored = redis.call('HGET', KEYS[1], 'revision') or '0'
if stored ~= ARGV[1] then return {'CONFLICT', stored} end
local revision = tonumber(stored) + 1
redis.call('HSET', KEYS[1], 'revision', revision, 'state', ARGV[2])
for i = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
end
return {'OK', tostring(revision)}
