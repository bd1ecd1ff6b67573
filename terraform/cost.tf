# FOCUS billing exports and the right to read them. A bill belongs to an account, not a region: the
# first region of each cloud, by slot and name, receives it.

locals {
  cost_regions = { for cloud in ["aws", "gcp", "azure"] : cloud => try(
    [for place in sort([for name, region in var.regions : format("%d %s", region.slot, name) if region.cloud == cloud]) : split(" ", place)[1] if var.enable_cost_exports][0], null,
  ) }
  aws_made = merge(module.aws_first, module.aws_second, module.aws_third)

  # By cloud: an entry for the agents' cost.exports.
  cost_exports = merge(
    { for name, cost in module.aws_cost : "aws" => cost.export },
    { for name, cost in module.gcp_cost : "gcp" => cost.export },
    { for name, region in module.azure : "azure" => {
      url     = "azure://${region.log_container}/focus"
      options = { azure_storage_account_name = region.log_bucket }
    } if name == local.cost_regions["azure"] },
  )

  # azurerm has no export type FocusCost. These requests create it; only the start and end dates are
  # missing. Charges keep arriving after a month's end, when "month to date" is already the next
  # month, so a closed month is exported once more.
  azure_schedules = { daily = { recurrence = "Daily", timeframe = "MonthToDate" }, monthly = { recurrence = "Monthly", timeframe = "TheLastMonth" } }
  azure_cost_exports = merge([for name, region in module.azure : { for kind, schedule in local.azure_schedules : kind => {
    identity = { type = "SystemAssigned" }
    location = local.regions[name].location
    properties = {
      format                = "Parquet"
      compressionMode       = "snappy"
      partitionData         = true
      dataOverwriteBehavior = "OverwritePreviousReport"
      definition = {
        type      = "FocusCost"
        timeframe = schedule.timeframe
        dataSet   = { granularity = "Daily", configuration = { dataVersion = "1.0" } }
      }
      deliveryInfo = { destination = { type = "AzureBlob", resourceId = region.log_account_id, container = region.log_container, rootFolderPath = "focus" } }
      schedule     = { status = "Active", recurrence = schedule.recurrence }
    }
  } } if name == local.cost_regions["azure"]]...)
}

module "aws_cost" {
  source       = "./modules/aws/cost"
  providers    = { aws = aws.global }
  for_each     = toset(compact([local.cost_regions["aws"]]))
  name         = local.name
  bucket       = local.aws_made[each.key].log_bucket
  bucket_arn   = local.aws_made[each.key].log_bucket_arn
  location     = local.regions[each.key].location
  reader_roles = { for name, region in local.aws_made : name => region.agent_role_name }
}

module "gcp_cost" {
  source          = "./modules/gcp/cost"
  for_each        = toset(var.gcp_focus_export == null ? [] : compact([local.cost_regions["gcp"]]))
  name            = local.name
  project_id      = var.gcp_project_id
  table           = var.gcp_focus_export.table
  location        = var.gcp_focus_export.location
  reader_accounts = { for name, region in module.gcp : name => region.agent_account }
  protect_data    = var.protect_data
}
