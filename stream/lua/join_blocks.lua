-- Part of join.lua: arguments, the journal, and the blocks of event time that entries are in.
local CONFLICT, LATE, REUSED = 128, 64, 32
local FULL = 120 -- entries of a bucket (a listpack up to 128)
local FIRST_SIZE, FILL = 16, 80 -- least buckets of the first block, entries aimed at
local AHEAD = 8 -- what is likely is at most so many times what is sent (join_packing.py)
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
-- rows hold numbers of strata: if the store has lost its data they may be of others, and nothing is done
local strata_end = first + 2 * tonumber(ARGV[first])
for i = first + 1, strata_end, 2 do
  if tonumber(call('HGET', KEYS[4], ARGV[i]) or '') ~= tonumber(ARGV[i + 1]) then
    return redis.status_reply('RENUMBERED')
  end
end
first = strata_end + 1

-- ---- journal: rows of one shape and block together
local SOUND = {[8] = true, [14] = true, [16] = true, [22] = true}
local function sound(value) -- whether an entry can be read; one that cannot counts as absent
  local plen = band(byte(value) or 0, 31)
  local rest = #value - 1 - plen
  if SOUND[plen] and (rest == 0 or rest == 16 or rest == 24) then return true end
  count('damaged')
  return false
end
local function record(known, plen, olen, nlen, is_new, row)
  local shape = (plen * 32 + olen) * 64 + nlen * 2 + is_new
  local rows = known.rows[shape]
  if not rows then
    rows = {struct_pack('>dBBBB', known.start, plen, olen, nlen, is_new)}
    known.rows[shape] = rows
  end
  rows[#rows + 1] = row
end

-- ---- blocks of event time; a block has generations of buckets, the newest one takes new entries
-- The span of blocks follows from the horizon. After a change of it the blocks of the former span live on.
local own, grids, lives = {span = span, blocks = {}, usual = 0}, {}, {}
grids[1] = own
for its_span, expires in string.gmatch(call('HGET', KEYS[1], 'spans') or '', '(%d+):(%d+)') do
  if tonumber(expires) > now and tonumber(its_span) ~= span then
    grids[#grids + 1] = {span = tonumber(its_span), blocks = {}, usual = 0}
    lives[#lives + 1] = its_span .. ':' .. expires
  end
end
local function generation(known, size)
  local number = #known.sizes + 1
  known.sizes[number] = size
  known.stems[number] = stem .. 'pending:' .. known.name .. ':' .. number .. ':'
end
local function load(grid, index, text)
  local numbers = {}
  for number in string.gmatch(text, '%d+') do numbers[#numbers + 1] = tonumber(number) end
  if #numbers < 3 or numbers[1] <= now then return false end
  local known = {name = grid.span .. ':' .. index, start = index * grid.span, n = numbers[2], rows = {}}
  known.sizes, known.stems = {}, {}
  for i = 3, #numbers do generation(known, numbers[i]) end
  return known
end
local function block(grid, index)
  local known = grid.blocks[index]
  if known == nil then
    local text = call('HGET', KEYS[2], grid.span .. ':' .. index)
    known = text and load(grid, index, text) or false
    grid.blocks[index] = known
  end
  return known
end
local function size_for(n)
  local size = 1
  while size * FILL < n do size = size * 2 end
  return size
end
-- As many buckets as the nearest block before would have filled; without one, what is likely by the rows sent.
-- Too few cost a look in each generation for every further row of the block, too many cost memory.
local function size_of_next(index, likely)
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
  if not n then return math.max(FIRST_SIZE, size_for(likely)) end
  return size_for(math.max(n, likely / AHEAD))
end
local function opened(index, likely)
  local known = block(own, index)
  if not known then
    known = load(own, index, (now + ttl) .. ' 0 ' .. size_of_next(index, likely))
    own.blocks[index] = known
  end
  known.likely = likely
  return known
end
-- A little, where the last size was a good guess: by the block before, or by the rows sent.
local function grow(known)
  local sizes, last = known.sizes, #known.sizes
  local guessed = last == 1 or sizes[last] > 8 * sizes[last - 1]
  generation(known, math.max(sizes[last] * (guessed and 2 or 8), size_for(known.likely)))
end
