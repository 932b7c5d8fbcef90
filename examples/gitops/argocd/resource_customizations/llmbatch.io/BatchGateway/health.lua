-- Healthy while the gateway takes batches, Degraded where somebody has to do something, Progressing in between. The message
-- is what `kubectl describe` says.
local health = {status = "Progressing", message = "No operator of llmbatch has looked at it yet"}

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Being deleted"
  return health
end
if obj.status == nil or obj.status.conditions == nil then
  return health
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  health.message = "Waiting for the operator of llmbatch to look at what was changed"
  return health
end

local is = {}
for _, condition in ipairs(obj.status.conditions) do
  if condition.status == "True" or condition.type == "Ready" then
    is[condition.type] = condition
  end
end
local ready = is["Ready"]
if ready == nil then
  return health
end
health.message = ready.reason .. ": " .. (ready.message or "")
if is["Reconciling"] ~= nil then
  health.status = "Progressing"
elseif is["Stalled"] ~= nil then
  health.status = "Degraded"
elseif ready.status == "True" then
  health.status = "Healthy"
end
return health
