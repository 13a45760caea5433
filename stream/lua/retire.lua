-- Panes whose windows can no longer be restated leave the index and expire.
-- KEYS: open, pane...
-- ARGV: TTL ms, member per pane
for i = 2, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
  redis.call('ZREM', KEYS[1], ARGV[i])
end
return #KEYS - 1
