output "zone_id" {
  description = "The hosted zone of the domain."
  value       = local.zone_id
}

output "name_servers" {
  description = "Name servers for the registrar, if the zone was created here."
  value       = local.name_servers
}

output "service" {
  description = "The name that users query."
  value       = local.service
}

output "leader_policy" {
  description = "The dns-leader's permissions, as JSON."
  value       = data.aws_iam_policy_document.leader.json
}

output "leader_role_arn" {
  description = "The role that agents outside AWS assume to write names; null if none does."
  value       = one(aws_iam_role.leader[*].arn)
}

output "delegation" {
  description = "The name servers of the mesh's zone in mode mesh."
  value       = try(tolist(aws_route53_record.delegation[0].records), [])
}

output "health_checks" {
  description = "In mode static: which agents are queried for which region's verdict."
  value       = { for name, check in local.checks : name => merge(check, { path = aws_route53_health_check.verdict[name].resource_path }) }
}

output "parents" {
  description = "In mode static: how many healthy votes a region needs, by number of observers."
  value       = { for name, parent in aws_route53_health_check.region : name => { children = length(parent.child_healthchecks), enough = parent.child_health_threshold } }
}

output "records" {
  description = "In mode static: each region's routing policy and place."
  value = {
    for name, record in aws_route53_record.serving : name => {
      kind    = var.routing
      checked = record.health_check_id != null
      place   = var.routing == "weighted" ? tostring(record.weighted_routing_policy[0].weight) : var.routing == "failover" ? record.failover_routing_policy[0].type : record.latency_routing_policy[0].region
    }
  }
}
