-- Windows up to this watermark may be closed though no event has carried one so far: every partition was idle.
-- KEYS: topic           ARGV: watermark ms
local known = redis.call('HGET', KEYS[1], 'passed')
if not known or tonumber(known) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'passed', ARGV[1])
end
return 1
