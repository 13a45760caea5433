-- Numbers of strata: a name gets the next one when it is first seen, and keeps it.
-- KEYS: strata (hash: name to number)      ARGV: how many may have one, number of all others, names...
-- Returns: a number per name
local numbers = {}
for i = 3, #ARGV do
  local number = redis.call('HGET', KEYS[1], ARGV[i])
  if not number then
    local next_one = redis.call('HLEN', KEYS[1])
    if next_one < tonumber(ARGV[1]) then
      number = next_one
      redis.call('HSET', KEYS[1], ARGV[i], number)
    else
      number = ARGV[2]
    end
  end
  numbers[#numbers + 1] = tonumber(number)
end
return numbers
