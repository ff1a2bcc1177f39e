-- One request in one round trip: whether its limits are met (all are charged, or none), whether
-- permits may be lent ahead, whether the client's key is registered, what the cache holds, and, if
-- the entry is missing or stale, whether this caller is the one to refresh it.
--
-- KEYS  states of limits, the records of a key, the entry, its refresh lease and its epochs; ARGV
--       says which is which
-- ARGV  1  the caller's clock, Unix ms
--       2  n, the number of limits
--       3  tolerance between two clocks, ms
--       4  length of a refresh lease, ms; 0: this caller cannot refresh
--       5  1: report too how far the caller's clock is off (costs one TIME)
--       6  an id of this call, by which a repeat of it is recognised
--       7  how long after the call a repeat can arrive, ms
--       8  which of KEYS can be the record of the client's API key, "5" or "5 6": the first that is
--          one counts. 0: keys need no record
--       9  which of KEYS is the entry; its lease is the next one, followed by its epochs. 0: the
--          cache is not asked
--       10 how many epochs the entry has
--       11 how long before it goes stale the entry may be refreshed already, ms
--       12 the beginning of the entry that the caller has already; that entry is not sent again
--       then for each limit:
--       1  which of KEYS is its state; 0: it does not apply
--       2  the same for a client whose key is registered
--       3  quota
--       4  quota of a registered key whose plan is not among
--       5  plans, "pro=1000 basic=200"
--       6  how many hundredths of the quota are reserved for other routes
--       7  cost
--       8  width of a sub-bucket, ms
--       9  sub-buckets in a window
--       10 the role: "enforce", "shadow" (report only), "peek" (charge nothing), "settle" (charge,
--          even beyond the quota), "origin" (charge only if the origin will be called)
--       11 how many permits to lend ahead
--       12 for how long, ms; the script makes this longer or shorter, as described below
--       13 how many hundredths of the quota must not be lent
--       14 permits that are given back, "tag bucket count bucket count …", or "* count": the oldest
--          first
--       15 how many of the permits to lend are for requests that wait: as long as any are left
--       16 permits that the caller has given by itself, and that count now, whatever is left
--       and at the end 1 if an earlier call with this id may have been carried out, else 0. Of all
--       calls with one id at most one that says 0 is ever carried out, however late it arrives
-- Reply { 1 admitted, 0 refused, 2 it is unknown whether this call was carried out before, 3 it was
--         carried out before, and nothing is charged now;
--         offset of the caller's clock in ms, or false;
--         the plan of a registered key ("" without one), or false;
--         how many states could not be read and were treated as empty;
--         per limit: 1 met, 0 not met, -1 it does not apply; quota; remaining; ms until the same
--         request passes; ms until more permits come back; the state's tag if something was
--         charged, else false; the sub-bucket; permits lent, their sub-bucket, and ms until they
--         become void;
--         then, if the cache is asked: the entry, 1 if the caller has it already, 0 if there is one
--         of other epochs, or false; 1 if the caller holds the refresh lease, 3 if another caller
--         does, 2 if it was found out lately that the response cannot be stored, 0 if the entry
--         need not be refreshed, or not by this caller; and the epochs that an entry made now must
--         carry }
--
-- The state of a limit is one string, "2 tag seen width base m total c0 c1 …;age:ids:ids": the
-- version of the format, a tag that the state got when it was made, the newest time seen, the width
-- of a sub-bucket, then the counts of `m` sub-buckets from number `base` on, preceded by their sum;
-- then the ids of the latest admitted calls, in two generations, preceded by the age of the younger
-- generation at the newest time seen. "-" among the ids: some were forgotten too early.
--
-- A request at time t falls in sub-bucket i = floor(t / width). It is admitted if its own cost and
-- all that was counted in sub-buckets i - k and later are together at most the quota; k * width is
-- at least the window, so no window ever holds more. Permits that are lent are counted in the
-- sub-bucket in which they become void. `engine/limit/sliding_window.rs` is the same algorithm in
-- Rust.
--
-- The longer the term for which permits are lent, the later they are counted, and the later they
-- leave the window: of a client with rate r, r * (window + term + width) are counted. The term is
-- at most as long as that fits in the quota, with r as the counts show it; at most a quarter of the
-- window; and at most 30 s. Two sub-buckets, but at most 10 s, are always allowed.
--
-- Permits come back only once. Ids cannot guarantee this (they are forgotten under load, and with
-- the state), so only the call that says 0 takes anything back. A request that is charged twice
-- affects no other client.
--
-- An entry begins "2 fresh_until usable_until stamp version epochs ". Its epochs are the values
-- that purges had set when the response was requested, separated by commas, "-" for none: if they
-- are not the current ones, the entry is void.
--
-- Commands that are billed: EVALSHA, MGET, one SET for each limit charged, one for a lease taken.

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local match, gmatch, find, format = string.match, string.gmatch, string.find, string.format
local LARGEST = 9007199254740991
-- The longest that permits are lent, ms, and the longest that is allowed whatever is left; and the
-- divisor of the permits left: one third of them may be lent at once to requests to come.
local LONGEST, ALWAYS, SHARE = 30000, 10000, 3
-- How many sub-buckets after the newest time seen permits may be counted, besides LONGEST. A lease
-- needs seven; if a window is made shorter, an earlier one may need more of the new ones.
local AHEAD = 100
-- The longest state, in bytes, and the most bytes of ids in one generation.
local LONGEST_STATE, IDS = 400, 36

local mine, n, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local id, horizon = ARGV[6], tonumber(ARGV[7])
local entry_at = tonumber(ARGV[9])

local real
local function server_time()
  if not real then
    local t = redis.call('TIME')
    real = tonumber(t[1]) * 1000 + floor(tonumber(t[2]) / 1000)
  end
  return real
end

-- Reads a state; nil if the text is not one. The counts stay text until each of them is needed:
-- most calls only add to the last one and forget the first.
local function parse(text, width)
  local tag, seen, w, base, m, total, list, age, ids, older =
    match(text, '^2 (%x+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d[ %d]*);(%d+):([%w-]*):([%w-]*)$')
  if not tag then return nil end
  seen, w, base, m, total, age = seen + 0, w + 0, base + 0, m + 0, total + 0, age + 0
  if seen > LARGEST or w < 1 or w > LARGEST or age > seen or m < 1 or m > 1000 or total > LARGEST
    or base > LARGEST / w or base + m - 1 > min(floor(seen / w) + AHEAD, floor((seen + LONGEST) / w)) then
    return nil
  end
  if w ~= width then
    -- The window was reconfigured: all permits count as if charged at the last possible moment,
    -- which is the end of the last lease.
    local last = max(seen, min((base + m) * w, seen + LONGEST) - 1)
    base, m, list = min(floor(last / width), floor(seen / width) + AHEAD), 1, format('%.0f', total)
    tag = format('%x', seen % 16777216)
  end
  return {
    tag = tag, seen = seen, base = base, m = m, total = total, list = list,
    made = seen - age, ids = ids, older = older, cut_anew = w ~= width,
  }
end

-- Splits the counts; false if they do not match the number and the sum in the state.
local function expand(s)
  if s.counts then return s.sound end
  local counts, m, total = {}, 0, 0
  for c in gmatch(s.list, '%d+') do
    m = m + 1
    counts[m] = c
    total = total + c
  end
  s.sound = m == s.m and total == s.total
  s.counts, s.list, s.m = counts, nil, m
  return s.sound
end

local values = redis.call('MGET', unpack(KEYS))
local plan = false
for at in gmatch(ARGV[8], '%d+') do
  local record = values[at + 0]
  plan = plan or record and (record == '1' and '' or match(record, '^1 ([%w._-]+)$')) or false
end

local limits, unreadable = {}, 0
for j = 1, n do
  local a = 12 + (j - 1) * 16
  local key = tonumber(ARGV[a + (plan and 2 or 1)])
  if key > 0 then
    local quota = tonumber(ARGV[a + (plan and 4 or 3)])
    if plan and plan ~= '' then
      for name, number in gmatch(ARGV[a + 5], '([^ =]+)=(%d+)') do
        if name == plan then quota = tonumber(number) end
      end
    end
    local limit = {
      key = KEYS[key], quota = quota, ceiling = quota - ceil(quota * ARGV[a + 6] / 100),
      cost = tonumber(ARGV[a + 7]), width = tonumber(ARGV[a + 8]), buckets = tonumber(ARGV[a + 9]),
      role = ARGV[a + 10], lend = tonumber(ARGV[a + 11]), term = tonumber(ARGV[a + 12]),
      kept = ARGV[a + 13], back = ARGV[a + 14], rush = tonumber(ARGV[a + 15]), owed = tonumber(ARGV[a + 16]),
      granted = 0,
    }
    local text = values[key]
    if text then
      limit.state = parse(text, limit.width)
      if not limit.state then unreadable = unreadable + 1 end
    end
    limits[j] = limit
  end
end

-- The instant from which on nothing in a limit's state is counted.
local function ends(limit)
  local s = limit.state
  return (s.base + s.m + limit.buckets) * limit.width
end

-- The shortest and the longest term for which permits of a limit may be lent, ms.
local function terms(limit)
  local two = 2 * limit.width
  return min(two, ALWAYS), min(max(two, floor(limit.width * limit.buckets / 4)), LONGEST)
end

-- The clock. A caller slightly behind the newest time seen is served at that time. If the two are
-- further apart, or if a state exists that should have expired, the clock of Redis decides which
-- one is wrong.
local offset = ARGV[5] == '1' and server_time() - mine or false
for j = 1, n do
  local s = limits[j] and limits[j].state
  if s and (s.seen > mine + tolerance or ends(limits[j]) + 2 * tolerance < mine) then
    offset = server_time() - mine
  end
end
if offset and math.abs(offset) > tolerance then mine = real end
local now = mine
for j = 1, n do
  local limit = limits[j]
  local s = limit and limit.state
  local ahead = s and s.seen > mine + tolerance
  -- Redis would have expired this state long ago if a correct clock had written it.
  local behind = s and real and not s.cut_anew and ends(limit) + 2 * tolerance < real
  if ahead or behind then
    if expand(s) then
      -- A wrong clock wrote the state: counts at impossible times count as now. Some of these
      -- permits may be lent, and may be spent until a lease that began now would become void.
      local i = floor(mine / limit.width)
      local _, longest = terms(limit)
      local last = floor((mine + longest - 1) / limit.width)
      local base = behind and last or min(max(s.base, i - limit.buckets), last)
      local kept, misplaced, total = {}, 0, 0
      for k = 1, s.m do
        local at = s.base + k - 1
        if behind or at >= i then
          misplaced = misplaced + s.counts[k]
        elseif at >= base then
          kept[at - base + 1] = s.counts[k]
          total = total + s.counts[k]
        end
      end
      for k = #kept + 1, last - base do kept[k] = '0' end
      kept[last - base + 1] = format('%.0f', misplaced)
      s.base, s.m, s.counts, s.seen, s.total = base, last - base + 1, kept, mine, total + misplaced
      s.tag, s.made = format('%x', mine % 16777216), mine
    else
      limit.state, unreadable = nil, unreadable + 1
    end
  elseif s and s.seen > now then
    now = s.seen
  end
end

-- Whether this call was carried out before: if so, it is charged already. A call that was refused
-- is decided anew, but what it told is not counted twice: it has left its id in small letters.
local told_id = string.lower(id)
local done, told, forgotten = false, false, false
for j = 1, n do
  local s = limits[j] and limits[j].state
  if s and id ~= '' and now - s.made <= 2 * horizon then
    done = done or find(s.ids, id, 1, true) or find(s.older, id, 1, true)
    told = told or find(s.ids, told_id, 1, true) or find(s.older, told_id, 1, true)
    forgotten = forgotten or find(s.ids, '-', 1, true) or find(s.older, '-', 1, true)
  end
end
local again = ARGV[#ARGV] == '1'
local unsure = again and not done and forgotten
for j = 1, n do
  local limit = limits[j]
  if limit and limit.back ~= '' and again and not done then
    -- A call that only gives something back is told that this may not have been done.
    unsure = unsure or limit.role == 'peek' or limit.role == 'settle'
    limit.back = ''
  end
end

-- Takes up to `count` permits from counts[k] of a state, as far as there are any.
local function take_back(s, k, count)
  local taken = min(count, s.counts[k] + 0)
  if taken > 0 then
    s.counts[k], s.total, s.changed = format('%.0f', s.counts[k] - taken), s.total - taken, true
  end
  return taken
end

local function give_back(s, back)
  local tag, list = match(back, '^([%x*]+) (.*)$')
  if tag == '*' and expand(s) then
    local left = list + 0
    for k = 1, s.m do left = left - take_back(s, k, left) end
  elseif tag == s.tag and expand(s) then
    for bucket, count in gmatch(list, '(%d+) (%d+)') do
      local k = bucket - s.base + 1
      if k >= 1 and k <= s.m then take_back(s, k, count + 0) end
    end
  end
end

-- Forgets the counts before sub-bucket `first`, and zero counts at the start.
local function forget(s, first)
  local gone = first - s.base
  if gone >= s.m then
    s.total = 0
    return
  end
  if gone > 2 and not expand(s) then
    s.total, unreadable = 0, unreadable + 1
    return
  end
  if s.list then
    while gone > 0 or string.sub(s.list, 1, 2) == '0 ' do
      local c, rest = match(s.list, '^(%d+) (.+)$')
      if not c then
        s.total, unreadable = 0, unreadable + 1
        return
      end
      s.total, s.list, s.base, s.m, gone = s.total - c, rest, s.base + 1, s.m - 1, gone - 1
    end
    return
  end
  local skip = max(gone, 0)
  while skip < s.m and (skip < gone or s.counts[skip + 1] + 0 == 0) do skip = skip + 1 end
  local counts = {}
  for k = 1, skip do s.total = s.total - (k <= gone and s.counts[k] or 0) end
  for k = skip + 1, s.m do counts[k - skip] = s.counts[k] end
  s.counts, s.base, s.m = counts, s.base + skip, s.m - skip
end

-- Counts permits in sub-bucket `at`.
local function count(limit, at, permits)
  local s = limit.state
  if not s then
    s = {
      tag = format('%x', now % 16777216), seen = now, base = at, m = 1, total = 0, list = '0',
      made = now, ids = '', older = '',
    }
    limit.state = s
  end
  local last = s.base + s.m - 1
  local before, c
  if s.list and at == last then
    before, c = match(s.list, '^(.* )(%d+)$')
    if not c then before, c = '', match(s.list, '^%d+$') end
  end
  if c then
    s.list = before .. format('%.0f', c + permits)
  elseif s.list and at > last then
    s.list, s.m = s.list .. string.rep(' 0', at - last - 1) .. format(' %.0f', permits), at - s.base + 1
  else
    expand(s)
    -- Lent permits may lie ahead of `at`: sub-buckets are inserted before all others.
    for _ = at, s.base - 1 do
      table.insert(s.counts, 1, '0')
      s.base, s.m = s.base - 1, s.m + 1
    end
    local k = at - s.base + 1
    for gap = s.m + 1, k do s.counts[gap] = '0' end
    s.m = max(s.m, k)
    s.counts[k] = format('%.0f', s.counts[k] + permits)
  end
  s.total, s.changed = s.total + permits, true
  limit.used = s.total
end

local admitted = not unsure
for j = 1, n do
  local limit = limits[j]
  if limit then
    local s = limit.state
    limit.i = floor(now / limit.width)
    if s then
      forget(s, limit.i - limit.buckets)
      if s.total > 0 and limit.back ~= '' and not done and not unsure then
        give_back(s, limit.back)
        if s.changed then forget(s, s.base) end
      end
      -- Before a request is refused, it is checked that the counts match the total.
      if s.total > 0 and s.total + limit.cost > limit.ceiling and not expand(s) then
        s.total, unreadable = 0, unreadable + 1
      end
      if s.total <= 0 then
        if s.changed then redis.call('DEL', limit.key) end
        limit.state = nil
      end
    end
    limit.used = limit.state and limit.state.total or 0
    limit.tells = limit.owed > 0 and not done and not told and not unsure
    if limit.tells then count(limit, limit.i, limit.owed) end
    limit.met = limit.used + limit.cost <= limit.ceiling
    if limit.role == 'enforce' and not limit.met then admitted = false end
  end
end
if done then admitted = true end

-- The cache, and whether the origin will be called. A refresh lease holds the stamp of the entry
-- that it is for (0 if there was none, 1 if what was there is no entry) and the id of the call that
-- took it, which may be repeated. A lease for another entry no longer counts. In place of a lease,
-- "u": the response cannot be stored; "f": the origin has just failed, so nobody waits for another
-- isolate.
local entry, refresh, unstored, taken, calls_origin, lease, epochs = false, false, false, false, true, '0', ''
local void = false
if entry_at > 0 then
  entry = values[entry_at]
  local current = {}
  for k = 1, ARGV[10] + 0 do
    local epoch = values[entry_at + 1 + k]
    current[k] = epoch and string.gsub(string.sub(epoch, 1, 64), '[^%w]', '.') or '-'
  end
  epochs = table.concat(current, ',')
  local fresh_until, stamp, of = match(entry or '', '^2 (%d+) %d+ (%d+) [%d-]+ ([%w.,-]+) ')
  fresh_until = of == epochs and fresh_until + 0 or 0
  if entry and of ~= epochs then entry, void = false, true end
  local held = values[entry_at + 1]
  unstored = held == 'u'
  lease = (stamp or void and '1' or '0') .. ' ' .. id
  taken = held and match(held, '^%d+ ') == match(lease, '^%d+ ') and held ~= lease
  refresh = ARGV[4] ~= '0' and not unstored and held ~= 'f' and fresh_until <= mine + ARGV[11] and not taken
  -- A caller that could refresh, but finds that another one does, waits for that one first.
  calls_origin = refresh or not entry and not (taken and ARGV[4] ~= '0')
end
for j = 1, n do
  local limit = limits[j]
  if limit and limit.role == 'origin' and calls_origin and not limit.met then
    refresh = false
    if not entry then admitted = false end
  end
end

-- When at most `target` permits will be counted, in ms from the caller's now.
local function until_used(limit, target)
  local s, used = limit.state, limit.used
  if not s or used <= target then return 0 end
  local k = 1
  if s.list then
    used = used - match(s.list, '^%d+')
    if used > target then
      expand(s)
      used = limit.used
    end
  end
  if s.counts then
    for each = 1, s.m do
      used, k = used - (s.counts[each] or 0), each
      if used <= target then break end
    end
  end
  return max((s.base + k + limit.buckets) * limit.width - mine, 0)
end

-- `by` is the id of the call if it was admitted, `told_id` if it only told something.
local function write(limit, by)
  local s = limit.state
  s.seen = max(s.seen, now)
  if s.made > now or now - s.made > 2 * horizon then
    s.made, s.ids, s.older = now, '', ''
  elseif now - s.made > horizon then
    s.made, s.ids, s.older = now, '', s.ids
  end
  if by ~= '' then s.ids = (#s.ids < IDS and s.ids or '-') .. by end
  local function line()
    return format('2 %s %.0f %.0f %.0f %d %.0f %s;%.0f:', s.tag, s.seen, limit.width, s.base, s.m, s.total,
      s.list or table.concat(s.counts, ' ', 1, s.m), s.seen - s.made)
  end
  local text = line()
  if #text + #s.ids + #s.older + 1 > LONGEST_STATE then s.ids, s.older = '-' .. by, '-' end
  -- If the counts alone are too long, the oldest count for longer: in the next sub-bucket.
  while #text + #s.ids + #s.older + 1 > LONGEST_STATE and s.m > 1 do
    expand(s)
    local oldest = table.remove(s.counts, 1)
    s.counts[1], s.base, s.m = format('%.0f', s.counts[1] + oldest), s.base + 1, s.m - 1
    text = line()
  end
  redis.call('SET', limit.key, text .. s.ids .. ':' .. s.older,
    'PX', format('%.0f', ends(limit) - now + tolerance))
end

local reply = { unsure and 2 or done and 3 or admitted and 1 or 0, offset, plan, unreadable }
local r = #reply
for j = 1, n do
  local limit = limits[j]
  if limit then
    local role = limit.role
    local enough = max(limit.ceiling - limit.cost, 0)
    local wait = limit.met and 0 or until_used(limit, enough)
    local charges = admitted and not done and (limit.met and (role ~= 'origin' or calls_origin) and role ~= 'peek')
      or role == 'settle' and not done and not unsure
    local lent_at, void_in = 0, 0
    if charges then
      if limit.cost > 0 then count(limit, limit.i, limit.cost) end
      local lendable = limit.quota - ceil(limit.quota * limit.kept / 100)
      local spare = lendable - limit.used
      limit.granted = min(limit.lend, max(floor(spare / SHARE), min(limit.rush, spare)))
      if limit.granted > 0 then
        local shortest, longest = terms(limit)
        local fits, whole = longest, (limit.buckets + 1) * limit.width
        if limit.used > 0 then
          local since = min(max(now - limit.state.base * limit.width, 0), whole)
          fits = floor(lendable * since / limit.used) - whole
        end
        local void = now + max(min(limit.term, longest, fits), shortest)
        -- A lease ends with a sub-bucket, if it lasts that long: permits that become void within a
        -- sub-bucket are counted as late as those that become void at its end.
        local edge = floor(void / limit.width)
        if edge >= limit.i + 2 then void = edge * limit.width end
        lent_at, void_in = floor((void - 1) / limit.width), void - now
        count(limit, lent_at, limit.granted)
      end
    end
    local s = limit.state
    local charged = s and s.changed
    if charged then write(limit, admitted and id or limit.tells and told_id or '') end
    local remaining = max(limit.ceiling - limit.used, 0)
    local target = limit.used <= enough and limit.used - 1 or enough
    reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = limit.met and 1 or 0, limit.quota, remaining, wait
    reply[r + 5] = limit.used > 0 and until_used(limit, target) or 0
    reply[r + 6], reply[r + 7] = charged and s.tag or false, limit.i
    reply[r + 8], reply[r + 9], reply[r + 10] = max(limit.granted, 0), lent_at, void_in
  else
    reply[r + 1] = -1
    for k = 2, 10 do reply[r + k] = 0 end
    reply[r + 6] = false
  end
  r = r + 10
end

if entry_at > 0 then
  refresh = refresh and admitted
  if refresh then redis.call('SET', KEYS[entry_at + 1], lease, 'PX', ARGV[4]) end
  local known = ARGV[12]
  if entry and known ~= '' and string.sub(entry, 1, #known) == known then entry = 1 end
  reply[r + 1] = admitted and (entry or void and 0) or false
  reply[r + 2] = refresh and 1 or unstored and 2 or taken and 3 or 0
  reply[r + 3] = epochs
end
return reply
