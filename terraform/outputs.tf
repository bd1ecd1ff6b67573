# What comes after: names for the registrar, contexts for kubectl, settings for scripts/deploy.sh.

locals {
  # The agents' configuration is kubernetes/base/agent/agent.toml, with this environment's regions and name servers in it.
  base_config = file("${path.module}/../kubernetes/base/agent/agent.toml")
  order       = [for entry in sort([for name, region in var.regions : format("%09d %s", region.priority, name)]) : split(" ", entry)[1]]
  shell_names = { for name in keys(var.regions) : name => upper(replace(name, "-", "_")) }

  region_tables = join("\n", [for name in local.order : <<-EOT
    [[regions]]
    name = "${name}"
    endpoint = "$${MESH_ADDRESS_${local.shell_names[name]}}:${local.mesh_port}"
    serving_url = "http://$${SERVING_ADDRESS_${local.shell_names[name]}}:80"
    priority = ${var.regions[name].priority}
    weight_bp = ${var.regions[name].weight * 100}
    cloud = "${var.regions[name].cloud}"
  EOT
  ])

  name_servers = var.dns_mode == "mesh" ? "name_servers = [\n${join("", [for name in local.order : "    \"ns-${name}.$${DOMAIN}\",\n"])}]" : "# Route 53 answers for the zone."

  route53 = var.dns_mode != "leader" ? "" : <<-EOT

    [dns.route53]
    zone_id = "${module.dns.zone_id}"
    records = "${local.routing}"

    [dns.route53.agents]
    ${join("\n", [for name in local.order : "${name} = \"${local.made[name].addresses["verdict"]}\""])}

    [dns.route53.latency_regions]
    ${join("\n", [for name in local.order : "${name} = \"${local.regions[name].latency_region}\""])}
  EOT

  traffic = <<-EOT

    [traffic]
    strategy = "${local.routing == "failover" ? "active-passive" : local.routing}"
  EOT

  costs = join("", [for cloud, export in local.cost_exports : join("", concat(
    ["\n[[cost.exports]]\nurl = \"${export.url}\"\n"],
    [for name, value in export.options : "options = { ${name} = \"${value}\" }\n"],
  ))])

  # Everything from the first region's table to the store's is replaced, and the list of name servers. (Not by replace(), to which
  # a dollar sign in the new text means something.)
  before_regions = split("[[regions]]", local.base_config)[0]
  after_regions  = split("\n[store]", local.base_config)[1]
  after_zone     = regex("(?s)^(.*\n)# Outside the zone.*?name_servers = \\[[^\\]]*\\]\n(.*)$", local.after_regions)
  agent_config = join("", [
    local.before_regions, local.region_tables, "\n[store]", local.after_zone[0], local.name_servers, "\n", local.route53, local.traffic, local.after_zone[1], local.costs,
  ])

  mesh_env = merge(
    { MESH = "${var.environment}.${var.domain_name}", DOMAIN = var.domain_name, ZONE = local.mesh_zone },
    { for name, region in local.made : "MESH_ADDRESS_${local.shell_names[name]}" => region.addresses["mesh"] },
    { for name, region in local.made : "SERVING_ADDRESS_${local.shell_names[name]}" => region.addresses["serving"] },
  )

  # Whose packets the mesh's and Prometheus' load balancers take.
  peers_yaml = join("---\n", [for service in ["regionmesh-mesh", "regionmesh-prometheus"] : yamlencode({
    apiVersion = "v1"
    kind       = "Service"
    metadata   = { name = service, namespace = "regionmesh" }
    spec       = { loadBalancerSourceRanges = [for name in sort(keys(local.peers)) : "${local.peers[name]}/32"] }
  })])

  # Only where Route 53 answers for the zone.
  checkers_yaml = join("---\n", [
    yamlencode({
      apiVersion = "v1"
      kind       = "Service"
      metadata   = { name = "regionmesh-verdict", namespace = "regionmesh" }
      spec       = { loadBalancerSourceRanges = local.checker_cidrs }
    }),
    yamlencode({
      apiVersion = "networking.k8s.io/v1"
      kind       = "NetworkPolicy"
      metadata   = { name = "route53", namespace = "regionmesh" }
      spec = { ingress = [{
        from  = [for cidr in local.checker_cidrs : { ipBlock = { cidr = cidr } }]
        ports = [{ port = 9080, protocol = "TCP" }]
      }] }
    }),
  ])

  components = {
    for name, region in var.regions : name => join("", concat(
      var.dns_mode == "mesh" ? [] : ["route53-${region.cloud}\n"],
      var.dns_mode == "leader" && region.cloud != "aws" ? ["route53-role\n"] : [],
    ))
  }

  files = merge(
    var.dns_mode == "mesh" ? {} : { "components/route53/checkers.yaml" = local.checkers_yaml },
    {
      "base/mesh.env"         = local.mesh_env
      "base/agent/peers.yaml" = local.peers_yaml
      "base/agent/agent.toml" = local.agent_config
    },
    { for name, region in local.made : "overlays/${name}/region.env" => region.region_env },
    { for name, region in local.made : "overlays/${name}/cloud.env" => merge(region.cloud_env, module.dns.leader_role_arn == null ? {} : { LEADER_ROLE = module.dns.leader_role_arn }) },
    # Which overlay of the repository a region begins with, where it has none of its own.
    { for name, region in var.regions : "overlays/${name}/like" => { aws = "us-west-2", gcp = "eu-west-1", azure = "ap-south-1" }[region.cloud] },
    { for name, components in local.components : "overlays/${name}/components" => components },
    { for name in keys(local.made) : "overlays/${name}/federation.yml" => yamlencode([
      for other in sort(keys(local.made)) : { targets = ["prometheus-${other}.${var.domain_name}:9090"], labels = { sibling = other } } if other != name
    ]) },
  )
}

output "kubernetes_settings" {
  description = "Files below kubernetes/ and what they are in this environment: scripts/deploy.sh puts them there."
  value       = { for path, content in local.files : path => try(join("", [for name, value in content : "${name}=${value}\n"]), content) }
}

output "service" {
  description = "What users ask for."
  value       = module.dns.service
}

output "name_servers" {
  description = "Where the registrar must delegate domain_name."
  value       = module.dns.name_servers
}

output "zone_id" {
  description = "The hosted zone of domain_name."
  value       = module.dns.zone_id
}

output "dns_leader_role_arn" {
  description = "dns_mode leader: the role that agents outside AWS take."
  value       = module.dns.leader_role_arn
}

output "kubectl" {
  description = "By region: the command that makes a kubectl context of its cluster."
  value       = { for name, region in local.made : name => region.kubectl }
}

output "contexts" {
  description = "By region: the context that the command makes, for environments/ENV/contexts.env."
  value       = { for name, region in local.made : name => region.context }
}

output "registries" {
  description = "By region: where its image is pushed."
  value       = { for name, region in local.made : name => region.registry }
}

output "stores" {
  description = "By region: the store of its agents."
  value       = { for name, region in local.made : name => region.store_url }
}

output "cost_exports" {
  description = "By cloud: where bills arrive; entries of cost.exports, which kubernetes_settings has too."
  value       = local.cost_exports
}

output "azure_cost_exports" {
  description = "The requests that make Azure's exports, which azurerm can't: docs/how-to/deploy-with-terraform.md#billing-exports."
  value       = local.azure_cost_exports
}

output "addresses" {
  description = "By region: the fixed public address of each service, and those that its agents come from."
  value       = { for name, region in local.made : name => { services = region.addresses, egress = region.egress_addresses } }
}

output "mesh_ingress" {
  description = "Who may reach the mesh port, by region."
  value       = { for name, module in merge(module.aws_first_peers, module.aws_second_peers, module.aws_third_peers, module.gcp_peers, module.azure_peers) : name => module.ingress }
}
