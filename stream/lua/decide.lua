-- A verdict and its messages commit together, and only on the revision they were computed from.
-- KEYS: state, outbox, memory, join, journal, state brought before, outcome pane...
-- ARGV: expected revision, expected incarnation ('' = any), expected run_id of the server ('' = any),
--       state bytes ('' = as stored, or brought), name of what was brought ('' = nothing), pieces of the journal
--       trimmed so far ('' = it was not read), pieces trimmed after this, outcome TTL ms, bytes per outcome pane,
--       #memory, then (name, bytes; '' = forget) per entry,
--       #messages, then (sequence, bytes) per message
local revision, incarnation, run_id, state, brought, base, upto, ttl_ms = unpack(ARGV, 1, 8)
local i = 9
local function take() i = i + 1; return ARGV[i - 1] end
local stored = redis.call('HGET', KEYS[1], 'revision') or '0'
if stored ~= revision then return {'CONFLICT', stored} end
-- the revision can be the same before and after Redis was emptied, on a server and on its late replica
if incarnation ~= '' and redis.call('HGET', KEYS[1], 'incarnation') ~= incarnation
  or run_id ~= '' and not string.find(redis.call('INFO', 'server'), 'run_id:' .. run_id, 1, true) then
  return {'OTHER', stored}
end
if brought ~= '' and redis.call('HGET', KEYS[6], 'name') ~= brought then return {'ABSENT', stored} end
-- outcomes commit only together with the end of the journal that they have folded
if base ~= '' then
  local trimmed = redis.call('HGET', KEYS[4], 'base') or '0'
  if trimmed ~= base then return {'TRIMMED', trimmed} end
  redis.call('LTRIM', KEYS[5], tonumber(upto) - tonumber(base), -1)
  redis.call('HSET', KEYS[4], 'base', upto)
end
for k = 7, #KEYS do redis.call('SET', KEYS[k], take(), 'PX', ttl_ms) end
local decided = tostring(tonumber(stored) + 1)
if brought ~= '' then
  redis.call('HDEL', KEYS[6], 'name')
  redis.call('PERSIST', KEYS[6])
  redis.call('RENAME', KEYS[6], KEYS[1])
elseif state ~= '' then
  redis.call('HSET', KEYS[1], 'revision', decided, 'state', state)
else
  redis.call('HSET', KEYS[1], 'revision', decided)
end
for _ = 1, tonumber(take()) do
  local name, bytes = take(), take()
  if bytes == '' then redis.call('HDEL', KEYS[3], name) else redis.call('HSET', KEYS[3], name, bytes) end
end
for _ = 1, tonumber(take()) do
  local sequence, bytes = take(), take()
  redis.call('ZADD', KEYS[2], sequence, bytes)
end
return {'OK', decided}
