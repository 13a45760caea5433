-- Apply predictions and labels of one model to the map of its join; every change goes to the model's journal.
-- KEYS: join (hash: counts), blocks (hash: what is known of each block), journal (list)
-- ARGV: stem of the keys of entries, horizon ms, span of a block ms, time to live ms, bytes of no value,
--       #count names, count names..., then per section: kind ('p' or 'l'), block of the predictions,
--       bytes a row, rows (8 bytes of key, then value)
-- Returns: what has changed, in the order of the count names
--
-- An entry: tag (low 5 bits: length of the prediction; high bits: what was seen), prediction, winning label
-- or nothing. A prediction starts with its ms within the block (u32, little endian). A label starts with
-- 2 * ts_ms + supersedes (f64, big endian); labels compare as bytes, never by '<' on strings (by locale).
local CONFLICT, LATE, REUSED = 128, 64, 32
local FULL = 120 -- entries of a bucket (a listpack up to 128)
local FIRST_SIZE, FILL = 16, 80 -- buckets of the first block, entries aimed at
local EARLY_BUCKETS, EARLY_SWEEP, EARLY_FULL, EARLY_LABELS = 4096, 64, 256, 8
local call, byte, sub, char, format = redis.call, string.byte, string.sub, string.char, string.format
local floor = math.floor
local struct_unpack, struct_pack, band = struct.unpack, struct.pack, bit.band
local stem, horizon, span, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)
local counts, names, first = {}, {}, 7 + tonumber(ARGV[6])
for i = 7, first - 1 do names[#names + 1] = ARGV[i]; counts[ARGV[i]] = 0 end
local function count(name) counts[name] = counts[name] + 1 end

-- ---- journal: rows of one shape and block together
local groups = {}
local SOUND = {[8] = true, [14] = true, [16] = true, [22] = true}
local function sound(value) -- whether an entry can be read; one that cannot counts as absent
  local plen = band(byte(value) or 0, 31)
  local rest = #value - 1 - plen
  if SOUND[plen] and (rest == 0 or rest == 16 or rest == 24) then return true end
  count('damaged')
  return false
end
local function record(index, plen, olen, nlen, is_new, row)
  local id = index * 65536 + (plen * 32 + olen) * 64 + nlen * 2 + is_new
  local rows = groups[id]
  if not rows then
    rows = {struct_pack('>dBBBB', index * span, plen, olen, nlen, is_new)}
    groups[id] = rows
  end
  rows[#rows + 1] = row
end

-- ---- blocks: spans of event time; a block has generations of buckets, the newest one takes new entries
local blocks = {}
local function load(index, text)
  local numbers = {}
  for number in string.gmatch(text, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  if #numbers < 3 or numbers[1] <= now then return false end
  local known = {index = index, expires = numbers[1], n = numbers[2], sizes = {}, stems = {}, grown = false}
  for i = 3, #numbers do
    known.sizes[i - 2] = numbers[i]
    known.stems[i - 2] = stem .. 'pending:' .. span .. ':' .. index .. ':' .. (i - 2) .. ':'
  end
  return known
end
local function block(index)
  local known = blocks[index]
  if known == nil then
    local text = call('HGET', KEYS[2], span .. ':' .. index)
    known = text and load(index, text) or false
    blocks[index] = known
  end
  return known
end
local function size_of_next(index) -- as many buckets as the nearest block before would have filled
  local nearest, n = -1, nil
  local all = call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    local its_span, its_index = string.match(all[i], '(%d+):(%d+)')
    local expires, its_n = string.match(all[i + 1], '(%d+) (%d+)')
    its_index = tonumber(its_index)
    if not (its_index and expires) or tonumber(expires) <= now then
      call('HDEL', KEYS[2], all[i])
    elseif tonumber(its_span) == span and its_index < index and its_index > nearest then
      nearest, n = its_index, tonumber(its_n)
    end
  end
  if not n then return FIRST_SIZE end
  local size = 1
  while size * FILL < n do size = size * 2 end
  return size
end
local function opened(index)
  local known = block(index)
  if not known then
    known = load(index, (now + ttl) .. ' 0 ' .. size_of_next(index))
    blocks[index] = known
  end
  return known
end
local function grow(known)
  local last = #known.sizes
  known.sizes[last + 1] = known.sizes[last] * (last == 1 and 2 or 8)
  known.stems[last + 1] = stem .. 'pending:' .. span .. ':' .. known.index .. ':' .. (last + 1) .. ':'
end

-- ---- labels
local function better(new, old) -- as bytes; the longer one if one starts the other
  local a, b = struct_unpack('>d', new), struct_unpack('>d', old)
  if a ~= b then return a > b end
  for i = 9, #new do
    local x, y = byte(new, i), byte(old, i) or -1
    if x ~= y then return x > y end
  end
  return false
end
local function moment(label) return floor(struct_unpack('>d', label) / 2) end
local function tagged(value, flag)
  return char(byte(value) + flag) .. sub(value, 2)
end
local function improve(index, name, key, value, new)
  local tag = byte(value)
  local plen = band(tag, 31)
  local old = sub(value, plen + 2)
  if old == new then return end
  if old == '' then
    call('HSET', name, key, value .. new)
    record(index, plen, 0, #new, 0, sub(value, 2) .. new)
    return count('joined')
  end
  local flag = 0
  if sub(old, 1, 8) == sub(new, 1, 8) and band(tag, CONFLICT) == 0 then
    flag = CONFLICT
    count('conflicting')
  end
  if better(new, old) then
    call('HSET', name, key, char(tag + flag) .. sub(value, 2, plen + 1) .. new)
    record(index, plen, #old, #new, 0, sub(value, 2) .. new)
    count('corrected')
  elseif flag > 0 then
    call('HSET', name, key, tagged(value, flag))
  end
end

-- ---- labels before their prediction: several of one id, each with its second of arrival
local marker = stem .. 'early'
local waiting = call('EXISTS', marker) == 1
local marked = false
local function early_name(hash) return stem .. 'early:' .. (hash % EARLY_BUCKETS) end
local function split(value)
  local labels, at = {}, 1
  while at + 4 <= #value do
    local length = byte(value, at + 4)
    local arrival = struct_unpack('<I4', value, at)
    if at + 4 + length > #value or length < 16 then break end
    labels[#labels + 1] = {arrival = arrival, label = sub(value, at + 5, at + 4 + length)}
    at = at + 5 + length
  end
  return labels
end
local function joint(labels)
  local parts = {}
  for i, each in ipairs(labels) do parts[i] = struct_pack('<I4B', each.arrival, #each.label) .. each.label end
  return table.concat(parts)
end
local function sweep(name)
  local all = call('HGETALL', name)
  for i = 1, #all, 2 do
    local labels = split(all[i + 1])
    if #labels == 0 or labels[#labels].arrival * 1000 + ttl <= now then
      call('HDEL', name, all[i])
      count('early_expired')
    end
  end
end
local function wait(key, hash, new)
  local name = early_name(hash)
  local value = call('HGET', name, key)
  local labels = value and split(value) or {}
  for _, each in ipairs(labels) do
    if each.label == new then return end
  end
  if not value then
    local n = call('HLEN', name)
    if n > 0 and n % EARLY_SWEEP == 0 then
      sweep(name)
      n = call('HLEN', name)
    end
    if n >= EARLY_FULL then return count('refused') end
    count('early')
  elseif #labels >= EARLY_LABELS then
    return count('refused')
  end
  labels[#labels + 1] = {arrival = math.ceil(now / 1000), label = new}
  call('HSET', name, key, joint(labels))
  call('PEXPIRE', name, ttl)
  if not marked then call('SET', marker, 1, 'PX', ttl) end
  waiting, marked = true, true
end
local function awaited(name, key, value, when) -- the best label within the horizon, and flags of the tag
  local best, flags, late, left = nil, 0, false, {}
  for _, each in ipairs(split(value)) do
    local new = each.label
    local ts = moment(new)
    if ts < when - horizon then
      left[#left + 1] = each
    elseif ts > when + horizon then
      late = true
    else
      if best and sub(best, 1, 8) == sub(new, 1, 8) then flags = CONFLICT
      elseif not best or better(new, best) then flags = 0 end
      if not best or better(new, best) then best = new end
    end
  end
  if #left == 0 then call('HDEL', name, key) else call('HSET', name, key, joint(left)) end
  if flags > 0 then count('conflicting') end
  if late then flags = flags + LATE; count('after_horizon') end
  return best, flags
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
local function predict(known, key, value)
  local hash = struct_unpack('<I4', key)
  local sizes, stems = known.sizes, known.stems
  local last = #sizes
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
  known.n, known.grown = known.n + 1, true
  count('predictions')
  local filled = call('HLEN', name)
  if filled == 1 then call('PEXPIRE', name, ttl) elseif filled >= FULL then grow(known) end
  if waits then
    local label, flags = awaited(early, key, waits, known.index * span + struct_unpack('<I4', value, 2))
    if label or flags > 0 then call('HSET', name, key, tagged(value, flags) .. (label or '')) end
    if label then
      count('joined')
      count('early_joined')
      return record(known.index, #value - 1, 0, #label, 1, sub(value, 2) .. label)
    end
  end
  record(known.index, #value - 1, 0, 0, 1, sub(value, 2))
end
local hashed, sized, suffix -- the number of the bucket as text, made once for blocks of one size
local function look(index, hash, key, ts, late) -- the entry that a label of this time is about, if it is here
  local known = block(index)
  if not known then return end
  for g = #known.sizes, 1, -1 do
    local size = known.sizes[g]
    if hash ~= hashed or size ~= sized then
      hashed, sized, suffix = hash, size, format('%d', hash % size)
    end
    local name = known.stems[g] .. suffix
    local value = call('HGET', name, key)
    if value and sound(value) then
      local when = index * span + struct_unpack('<I4', value, 2)
      if ts > when + horizon then
        late.name, late.value = name, value
      elseif ts >= when - horizon then
        return name, value
      end
    end
  end
end
local usual = 0 -- blocks between a label and the last prediction found: where to look first
local function label(key, new)
  local hash = struct_unpack('<I4', key)
  local ts = moment(new)
  local here, late = floor(ts / span), {}
  local oldest, newest = floor((ts - 2 * horizon) / span), floor((ts + horizon) / span)
  local name, value = look(here - usual, hash, key, ts, late)
  if name then return improve(here - usual, name, key, value, new) end
  for step = 0, newest - oldest do
    local index = step <= here - oldest and here - step or oldest + step
    if index ~= here - usual then name, value = look(index, hash, key, ts, late) end
    if name then
      usual = here - index
      return improve(index, name, key, value, new)
    end
  end
  if not late.name then return wait(key, hash, new) end
  if band(byte(late.value), LATE) == 0 then
    call('HSET', late.name, key, tagged(late.value, LATE))
    count('after_horizon')
  end
end

-- an error stops the rows, not the journal: what has been changed is always recorded
local applied, reason = pcall(function()
  for i = first, #ARGV, 4 do
    local stride, rows = tonumber(ARGV[i + 2]), ARGV[i + 3]
    if ARGV[i] == 'p' then
      local known = opened(tonumber(ARGV[i + 1]))
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
for index, known in pairs(blocks) do
  if known and known.grown then
    touched = true
    local sizes = table.concat(known.sizes, ' ')
    call('HSET', KEYS[2], span .. ':' .. index, (now + ttl) .. ' ' .. known.n .. ' ' .. sizes)
  end
end
if touched then call('PEXPIRE', KEYS[2], ttl) end
for _, rows in pairs(groups) do
  local body = table.concat(rows)
  call('RPUSH', KEYS[3], 'DSJ1' .. sub(redis.sha1hex(body), 1, 8) .. body)
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
