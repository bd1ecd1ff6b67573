# What the environment costs, in the FOCUS format, daily, into the first AWS region's bucket for logs.

locals {
  # In the order of slots and names; the export is the account's, not a region's.
  aws_regions   = concat([for modules in [module.aws_first, module.aws_second, module.aws_third] : [for name in sort(keys(modules)) : { name = name, bucket = modules[name].log_bucket }]]...)
  focus_columns = "AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingCurrency, BillingPeriodEnd, BillingPeriodStart, ChargeCategory, ChargeClass, ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart, CommitmentDiscountCategory, CommitmentDiscountId, CommitmentDiscountName, CommitmentDiscountStatus, CommitmentDiscountType, ConsumedQuantity, ConsumedUnit, ContractedCost, ContractedUnitPrice, EffectiveCost, InvoiceIssuerName, ListCost, ListUnitPrice, PricingCategory, PricingQuantity, PricingUnit, ProviderName, PublisherName, RegionId, RegionName, ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceName, SkuId, SkuPriceId, SubAccountId, SubAccountName, Tags"
}

resource "aws_bcmdataexports_export" "focus" {
  count    = var.enable_cost_exports && length([for region in var.regions : region if region.cloud == "aws"]) > 0 ? 1 : 0
  provider = aws.global

  export {
    name = "${local.name}-focus"
    data_query { query_statement = "SELECT ${local.focus_columns} FROM FOCUS_1_0_AWS" }
    destination_configurations {
      s3_destination {
        s3_bucket = local.aws_regions[0].bucket
        s3_prefix = "focus"
        s3_region = local.regions[local.aws_regions[0].name].location
        s3_output_configurations {
          overwrite   = "OVERWRITE_REPORT"
          format      = "PARQUET"
          compression = "PARQUET"
          output_type = "CUSTOM"
        }
      }
    }
    refresh_cadence { frequency = "SYNCHRONOUS" }
  }
}
