-- Apply predictions and labels of one model to the map of its join; every change goes to the model's journal.
-- KEYS: join (hash: counts, spans in use), blocks (hash: what is known of each block), journal (list), strata
-- ARGV: stem of the keys of entries, horizon ms, span of a block ms, time to live ms, bytes of no value,
--       #count names, count names..., #strata, then (name, its number) per stratum, then per section: kind
--       ('p' or 'l'), block of the predictions, how many rows it may get, bytes a row, rows (8 bytes of key,
--       then value)
-- Returns: what has changed, in the order of the count names; RENUMBERED where a stratum has another number
--
-- An entry: tag (low 5 bits: length of the prediction; high bits: what was seen), prediction, winning label
-- or nothing. A prediction starts with its ms within the block (u32, little endian). A label starts with
-- 2 * ts_ms + supersedes (f64, big endian); labels compare as bytes, never by '<' on strings (by locale).
-- The script is join_blocks.lua, join_labels.lua and this file, one after the other.

-- ---- ids that were forgotten: they do not come back when Kafka is read again
local forgotten = stem .. 'forgotten'
local some_forgotten = call('EXISTS', forgotten) == 1
local function is_forgotten(key)
  local until_ms = call('ZSCORE', forgotten, key)
  return until_ms and tonumber(until_ms) > now
end

-- ---- rows
local function repeated(name, key, value) -- true = there is an entry, so this one is none
  local stored = call('HGET', name, key)
  if not stored or not sound(stored) then return false end
  local tag = byte(stored)
  if sub(stored, 2, band(tag, 31) + 1) ~= sub(value, 2) and band(tag, REUSED) == 0 then
    call('HSET', name, key, tagged(stored, REUSED))
    count('reused')
  end
  return true
end
local function taken_at(known, value) return known.start + struct_unpack('<I4', value, 2) end
local function in_other_grid(hash, key, value, when) -- a prediction taken before the horizon was changed
  for i = 2, #grids do
    local index = floor(when / grids[i].span)
    local there = block(grids[i], index)
    for g = 1, there and #there.sizes or 0 do
      local its = char(byte(value)) .. struct_pack('<I4', when - there.start) .. sub(value, 6)
      if repeated(there.stems[g] .. format('%d', hash % there.sizes[g]), key, its) then return true end
    end
  end
  return false
end
local function predict(known, key, value)
  if some_forgotten and is_forgotten(key) then return end
  local hash = struct_unpack('<I4', key)
  local sizes, stems = known.sizes, known.stems
  local last = #sizes
  if #grids > 1 and in_other_grid(hash, key, value, taken_at(known, value)) then return end
  for g = 1, last - 1 do
    local name = stems[g] .. format('%d', hash % sizes[g])
    if repeated(name, key, value) then return end
  end
  -- all reads come before the first write: one that fails changes nothing
  local early = waiting and early_name(hash)
  local waits = early and call('HGET', early, key)
  local name = stems[last] .. format('%d', hash % sizes[last])
  if call('HSETNX', name, key, value) == 0 then
    if repeated(name, key, value) then return end
    call('HSET', name, key, value)
  end
  known.n, known.taken = known.n + 1, true
  count('predictions')
  local filled = call('HLEN', name)
  if filled == 1 then call('PEXPIRE', name, ttl) elseif filled >= FULL then grow(known) end
  if waits then
    local label, flags = awaited(early, key, waits, taken_at(known, value))
    if label or flags > 0 then call('HSET', name, key, tagged(value, flags) .. (label or '')) end
    if label then
      count('joined')
      count('early_joined')
      return record(known, #value - 1, 0, #label, 1, sub(value, 2) .. label)
    end
  end
  record(known, #value - 1, 0, 0, 1, sub(value, 2))
end
local hashed, sized, suffix -- the number of the bucket as text, made once for blocks of one size
local function look(grid, index, hash, key, ts, late) -- the entry that a label of this time is about, if here
  local known = block(grid, index)
  if not known then return end
  local last, usual = #known.sizes, known.usual
  for i = usual and 0 or 1, last do -- the generation where the last one was found, then from the newest
    local g = i == 0 and usual or last + 1 - i
    local size = known.sizes[g]
    if hash ~= hashed or size ~= sized then
      hashed, sized, suffix = hash, size, format('%d', hash % size)
    end
    local name = known.stems[g] .. suffix
    local value = (i == 0 or g ~= usual) and call('HGET', name, key)
    if value and sound(value) then
      known.usual = g
      local when = taken_at(known, value)
      if ts > when + horizon then
        late.name, late.value = name, value
      elseif ts >= when - horizon then
        return known, name, value
      end
    end
  end
end
local function find(grid, hash, key, ts, late) -- where the last one was found, then older blocks, then newer
  local width, usual = grid.span, grid.usual
  local here, oldest = floor(ts / width), floor((ts - 2 * horizon) / width)
  local known, name, value = look(grid, here - usual, hash, key, ts, late)
  if known then return known, name, value end
  for step = 0, floor((ts + horizon) / width) - oldest do
    local index = step <= here - oldest and here - step or oldest + step
    if index ~= here - usual then known, name, value = look(grid, index, hash, key, ts, late) end
    if known then
      grid.usual = here - index
      return known, name, value
    end
  end
end
local function label(key, new)
  if some_forgotten and is_forgotten(key) then return end
  local hash = struct_unpack('<I4', key)
  local ts, late = moment(new), {}
  for _, grid in ipairs(grids) do
    local known, name, value = find(grid, hash, key, ts, late)
    if known then return improve(known, name, key, value, new) end
  end
  if not late.name then return wait(key, hash, new) end
  if band(byte(late.value), LATE) == 0 then
    call('HSET', late.name, key, tagged(late.value, LATE))
    count('after_horizon')
  end
end

-- an error stops the rows, not the journal: what has been changed is always recorded
local applied, reason = pcall(function()
  for i = first, #ARGV, 5 do
    local stride, rows = tonumber(ARGV[i + 3]), ARGV[i + 4]
    if ARGV[i] == 'p' then
      local known = opened(tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
      for at = 1, #rows, stride do
        predict(known, sub(rows, at, at + 7), sub(rows, at + 8, at + stride - 1))
      end
    else
      local none = stride == 32 and ARGV[5]
      for at = 1, #rows, stride do
        local value_end = at + stride - 1
        if none and sub(rows, at + 24, at + 31) == none then value_end = at + 23 end
        label(sub(rows, at, at + 7), sub(rows, at + 8, value_end))
      end
    end
  end
end)

local touched = false
for _, grid in ipairs(grids) do
  for _, known in pairs(grid.blocks) do
    if known and known.taken then
      touched = true
      local sizes = table.concat(known.sizes, ' ')
      call('HSET', KEYS[2], known.name, (now + ttl) .. ' ' .. known.n .. ' ' .. sizes)
    end
    for _, rows in pairs(known and known.rows or {}) do
      local body = table.concat(rows)
      call('RPUSH', KEYS[3], 'DSJ1' .. sub(redis.sha1hex(body), 1, 8) .. body)
    end
  end
end
if touched then
  lives[#lives + 1] = span .. ':' .. (now + ttl)
  call('HSET', KEYS[1], 'spans', table.concat(lives, ' '))
  if call('PTTL', KEYS[2]) < ttl then call('PEXPIRE', KEYS[2], ttl) end
end
local changed = {}
for i, name in ipairs(names) do
  changed[i] = counts[name]
  if counts[name] > 0 then call('HINCRBY', KEYS[1], name, counts[name]) end
end
if not applied then
  return redis.error_reply('ERR join: ' .. tostring(type(reason) == 'table' and reason.err or reason))
end
return changed
