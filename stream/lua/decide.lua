-- A verdict and its messages commit together, and only on the revision they were computed from.
-- KEYS: state, outbox, memory
-- ARGV: expected revision, state bytes,
--       #memory, then (name, bytes; '' = forget) per entry,
--       #messages, then (sequence, bytes) per message
local i = 3
local function take() i = i + 1; return ARGV[i - 1] end
local stored = redis.call('HGET', KEYS[1], 'revision') or '0'
if stored ~= ARGV[1] then return {'CONFLICT', stored} end
local revision = tonumber(stored) + 1
redis.call('HSET', KEYS[1], 'revision', revision, 'state', ARGV[2])
for _ = 1, tonumber(take()) do
  local name, bytes = take(), take()
  if bytes == '' then redis.call('HDEL', KEYS[3], name) else redis.call('HSET', KEYS[3], name, bytes) end
end
for _ = 1, tonumber(take()) do
  local sequence, bytes = take(), take()
  redis.call('ZADD', KEYS[2], sequence, bytes)
end
return {'OK', tostring(revision)}
