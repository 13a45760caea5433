-- The first bytes of panes; those that are not there are empty.
-- KEYS: pane...
-- ARGV: bytes of each
local heads = {}
for i = 1, #KEYS do
  heads[i] = redis.call('GETRANGE', KEYS[i], 0, ARGV[1] - 1)
end
return heads
