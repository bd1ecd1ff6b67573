# The zone, and its records in every mode. Route 53 is global: the provider's region does not
# matter.

data "aws_route53_zone" "given" {
  count   = var.zone_id == null ? 0 : 1
  zone_id = var.zone_id
}

resource "aws_route53_zone" "this" {
  count         = var.zone_id == null ? 1 : 0
  name          = var.domain_name
  comment       = "${var.name}: regionmesh"
  force_destroy = !var.protect_data
}

locals {
  zone_id      = var.zone_id == null ? aws_route53_zone.this[0].zone_id : data.aws_route53_zone.given[0].zone_id
  zone_arn     = var.zone_id == null ? aws_route53_zone.this[0].arn : data.aws_route53_zone.given[0].arn
  name_servers = var.zone_id == null ? aws_route53_zone.this[0].name_servers : data.aws_route53_zone.given[0].name_servers
  service      = "serving.${var.mesh_zone}"
  observers    = sort(keys(var.regions))
}

# Each region's Prometheus, for federation by the others.
resource "aws_route53_record" "prometheus" {
  for_each = var.regions
  zone_id  = local.zone_id
  name     = "prometheus-${each.key}.${var.domain_name}"
  type     = "A"
  ttl      = 300
  records  = [each.value.addresses["prometheus"]]
}

# Mode mesh: the agents answer for the zone. Their names are outside it, so no glue is needed.
resource "aws_route53_record" "name_server" {
  for_each = var.mode == "mesh" ? var.regions : {}
  zone_id  = local.zone_id
  name     = "ns-${each.key}.${var.domain_name}"
  type     = "A"
  ttl      = 300
  records  = [each.value.addresses["dns"]]
}

resource "aws_route53_record" "delegation" {
  count   = var.mode == "mesh" ? 1 : 0
  zone_id = local.zone_id
  name    = var.mesh_zone
  type    = "NS"
  ttl     = 300
  records = [for region in local.observers : "ns-${region}.${var.domain_name}."]
}
