-- Counts commit only together with the offsets they cover, and only if those offsets are the next ones.
-- KEYS: cursor, open, outbox, unknown
-- ARGV: epoch, expected offset ('' = none yet), new offset, watermark ('' = unchanged), idle beat, delivered up to,
--       pane TTL ms, max unknown names, gaps ('' = unchanged),
--       start of the keys of panes, #panes, then (bytes, member, start) per pane,
--       #messages, then (sequence, bytes) per message,
--       #totals, then (field, increment) per total,
--       #unknown, then (name, increment) per unknown model
local i = 11
local function take() i = i + 1; return ARGV[i - 1] end

-- 1. another worker owns the partition
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
if stored[1] ~= ARGV[1] then return {'FENCED', stored[1] or ''} end
-- 2. Redis went back, or a reply was lost
if (stored[2] or '') ~= ARGV[2] then return {'MISMATCH', stored[2] or ''} end
-- 3. counts
for _ = 1, tonumber(take()) do
  local bytes, member, start = take(), take(), take()
  redis.call('SET', ARGV[10] .. member, bytes, 'PX', ARGV[7])
  redis.call('ZADD', KEYS[2], start, member)
end
-- 4. messages to publish, those delivered meanwhile removed
if ARGV[6] ~= '' then redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[6]) end
for _ = 1, tonumber(take()) do
  local sequence, bytes = take(), take()
  redis.call('ZADD', KEYS[3], sequence, bytes)
end
-- 5. offset, watermark, idleness and the exact totals
redis.call('HSET', KEYS[1], 'offset', ARGV[3], 'idle', ARGV[5])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'watermark', ARGV[4]) end
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'gaps', ARGV[9]) end
for _ = 1, tonumber(take()) do
  local field, by = take(), take()
  redis.call('HINCRBY', KEYS[1], field, by)
end
for _ = 1, tonumber(take()) do
  local name, by = take(), take()
  if redis.call('HEXISTS', KEYS[4], name) == 0 and redis.call('HLEN', KEYS[4]) >= tonumber(ARGV[8]) then
    name = '["__other__",""]'
  end
  redis.call('HINCRBY', KEYS[4], name, by)
end
return {'OK', ARGV[3]}
