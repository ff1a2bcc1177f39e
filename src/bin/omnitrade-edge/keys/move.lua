-- Gives registered keys other digests. A key that was revoked or renewed since its entry was read
-- stays as it is now, and one that is registered under its other digest already keeps those terms.
--
-- KEYS  the index; then for each key its record, and the record that takes its place
-- ARGV  for each key:
--       1  its digest
--       2  its entry in the index, as it was read
--       3  its other digest
--       4  its other entry
--       5  until when it is registered, Unix ms
-- Reply how many keys have no registration under the former digest any more because of this

local moved = 0
for n = 1, #ARGV / 5 do
  local old, new, a = KEYS[2 * n], KEYS[2 * n + 1], 5 * n - 4
  local record = redis.call('GET', old)
  if record and redis.call('HGET', KEYS[1], ARGV[a]) == ARGV[a + 1] then
    if redis.call('EXISTS', new) == 0 then
      redis.call('SET', new, record, 'PXAT', ARGV[a + 4])
      redis.call('HSET', KEYS[1], ARGV[a + 2], ARGV[a + 3])
    end
    redis.call('DEL', old)
    redis.call('HDEL', KEYS[1], ARGV[a])
    moved = moved + 1
  end
end
return moved
