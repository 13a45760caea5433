-- Numbers that only ever get smaller: when and where the versions of a model were first seen.
-- KEYS: learning
-- ARGV: (field, number) per number
for i = 1, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[i])
  if not stored or tonumber(ARGV[i + 1]) < tonumber(stored) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return redis.status_reply('OK')
