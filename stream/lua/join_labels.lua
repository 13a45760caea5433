-- Part of join.lua: which label wins, and those that wait for their prediction.
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
local function improve(known, name, key, value, new)
  local tag = byte(value)
  local plen = band(tag, 31)
  local old = sub(value, plen + 2)
  if old == new then return end
  if old == '' then
    call('HSET', name, key, value .. new)
    record(known, plen, 0, #new, 0, sub(value, 2) .. new)
    return count('joined')
  end
  local flag = 0
  if sub(old, 1, 8) == sub(new, 1, 8) and band(tag, CONFLICT) == 0 then
    flag = CONFLICT
    count('conflicting')
  end
  if better(new, old) then
    call('HSET', name, key, char(tag + flag) .. sub(value, 2, plen + 1) .. new)
    record(known, plen, #old, #new, 0, sub(value, 2) .. new)
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
