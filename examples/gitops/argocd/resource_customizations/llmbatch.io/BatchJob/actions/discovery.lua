-- Only what has ended is sent again: a second batch beside one that runs would be paid for twice.
local ended = false
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    if (condition.type == "Complete" or condition.type == "Failed") and condition.status == "True" then
      ended = true
    end
  end
end

local actions = {}
actions["resubmit"] = {
  ["disabled"] = not ended,
  ["displayName"] = "Resubmit",
  ["iconClass"] = "fa fa-fw fa-redo",
}
return actions
