-- A verdict and its messages commit together, and only on the revision they were computed from.
-- KEYS: state, outbox, memory, join, journal, state brought before, outcome pane...
-- ARGV: expected revision, state bytes ('' = as stored, or brought), name of what was brought ('' = nothing),
--       pieces of the journal trimmed so far ('' = it was not read), pieces trimmed after this, outcome TTL ms,
--       bytes per outcome pane,
--       #memory, then (name, bytes; '' = forget) per entry,
--       #messages, then (sequence, bytes) per message
local i = 7
local function take() i = i + 1; return ARGV[i - 1] end
local stored = redis.call('HGET', KEYS[1], 'revision') or '0'
if stored ~= ARGV[1] then return {'CONFLICT', stored} end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[6], 'name') ~= ARGV[3] then return {'ABSENT', stored} end
-- outcomes commit only together with the end of the journal that they have folded
if ARGV[4] ~= '' then
  local base = redis.call('HGET', KEYS[4], 'base') or '0'
  if base ~= ARGV[4] then return {'TRIMMED', base} end
  redis.call('LTRIM', KEYS[5], tonumber(ARGV[5]) - tonumber(base), -1)
  redis.call('HSET', KEYS[4], 'base', ARGV[5])
end
for k = 7, #KEYS do redis.call('SET', KEYS[k], take(), 'PX', ARGV[6]) end
local revision = tonumber(stored) + 1
if ARGV[3] ~= '' then
  redis.call('HDEL', KEYS[6], 'name')
  redis.call('PERSIST', KEYS[6])
  redis.call('RENAME', KEYS[6], KEYS[1])
elseif ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'revision', revision, 'state', ARGV[2])
else
  redis.call('HSET', KEYS[1], 'revision', revision)
end
for _ = 1, tonumber(take()) do
  local name, bytes = take(), take()
  if bytes == '' then redis.call('HDEL', KEYS[3], name) else redis.call('HSET', KEYS[3], name, bytes) end
end
for _ = 1, tonumber(take()) do
  local sequence, bytes = take(), take()
  redis.call('ZADD', KEYS[2], sequence, bytes)
end
return {'OK', tostring(revision)}
