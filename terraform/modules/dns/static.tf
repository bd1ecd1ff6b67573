# Mode static: records that no leader writes. Health checks query the agents of the other regions
# for their verdict, and a region is answered while a majority of them calls it healthy: the same
# checks that the dns-leader creates (docs/how-to/use-route53.md#how-failover-and-fencing-work).

locals {
  # With two regions, each is also asked about itself: otherwise losing one would leave the other
  # without an observer.
  asks_itself = length(var.regions) == 2
  checks = var.mode != "static" ? {} : {
    for pair in setproduct(keys(var.regions), keys(var.regions)) : "${pair[0]}-by-${pair[1]}" => { region = pair[0], observer = pair[1] }
    if(pair[0] != pair[1] || local.asks_itself) && length(var.regions) > 1
  }
  judged = length(local.checks) == 0 ? {} : var.regions
  # Unhealthy if and only if a majority of n observers says so: n - floor(n / 2) healthy votes
  # suffice.
  observing = local.asks_itself ? length(var.regions) : length(var.regions) - 1
  enough    = local.observing - floor(local.observing / 2)

  # Failover has two places: the first two regions by priority, then name.
  order = [for entry in sort([for name, region in var.regions : format("%09d %s", region.priority, name)]) : split(" ", entry)[1]]
  sets  = var.mode != "static" ? {} : { for name, region in var.regions : name => region if var.routing != "failover" || contains(slice(local.order, 0, min(2, length(local.order))), name) }
}

resource "aws_route53_health_check" "verdict" {
  for_each          = local.checks
  type              = "HTTP"
  ip_address        = var.regions[each.value.observer].addresses["verdict"]
  port              = 9080
  resource_path     = "/verdict/${each.value.region}"
  request_interval  = 10
  failure_threshold = 1
  tags              = { Name = "${var.name}: ${each.value.region} as ${each.value.observer} sees it" }
}

resource "aws_route53_health_check" "region" {
  for_each               = local.judged
  type                   = "CALCULATED"
  child_healthchecks     = [for name, check in local.checks : aws_route53_health_check.verdict[name].id if check.region == each.key]
  child_health_threshold = local.enough
  tags                   = { Name = "${var.name}: ${each.key}" }
}

resource "aws_route53_record" "serving" {
  for_each        = local.sets
  zone_id         = local.zone_id
  name            = local.service
  type            = "A"
  ttl             = 30
  records         = [each.value.addresses["serving"]]
  set_identifier  = each.key
  health_check_id = try(aws_route53_health_check.region[each.key].id, null)

  dynamic "weighted_routing_policy" {
    for_each = var.routing == "weighted" ? [each.value.weight] : []
    content { weight = weighted_routing_policy.value }
  }
  dynamic "failover_routing_policy" {
    for_each = var.routing == "failover" ? [each.key == local.order[0] ? "PRIMARY" : "SECONDARY"] : []
    content { type = failover_routing_policy.value }
  }
  dynamic "latency_routing_policy" {
    for_each = var.routing == "latency" ? [each.value.latency_region] : []
    content { region = latency_routing_policy.value }
  }
}

# Always that region, whatever its health.
resource "aws_route53_record" "region" {
  for_each = var.mode == "static" ? var.regions : {}
  zone_id  = local.zone_id
  name     = "${each.key}.${local.service}"
  type     = "A"
  ttl      = 30
  records  = [each.value.addresses["serving"]]
}
