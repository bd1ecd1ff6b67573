# What the next steps need: names for the registrar, contexts for kubectl, settings for
# scripts/deploy.sh.

locals {
  order = values({
    for name, region in var.regions : format("%09d %s", region.priority, name) => name
  })
  shell_names = { for name in keys(var.regions) : name => upper(replace(name, "-", "_")) }

  # What the environment adds to kubernetes/base/agent/agent.toml.
  mesh_toml = templatefile("${path.module}/mesh.toml.tftpl", {
    dns_mode     = var.dns_mode
    zone_id      = module.dns.zone_id
    routing      = local.routing
    cost_exports = values(local.cost_exports)
    regions = [for name in local.order : {
      name           = name
      endpoint       = "$${MESH_ADDRESS_${local.shell_names[name]}}:${local.mesh_port}"
      serving_url    = "http://$${SERVING_ADDRESS_${local.shell_names[name]}}:80"
      priority       = var.regions[name].priority
      weight_bp      = var.regions[name].weight * 100
      cloud          = var.regions[name].cloud
      verdict        = try(local.made[name].addresses["verdict"], null)
      latency_region = local.regions[name].latency_region
    }]
  })

  mesh_env = merge(
    {
      MESH   = "${var.environment}.${var.domain_name}"
      DOMAIN = var.domain_name
      ZONE   = local.mesh_zone
    },
    merge([for name, shell_name in local.shell_names : {
      "MESH_ADDRESS_${shell_name}"    = local.made[name].addresses["mesh"]
      "SERVING_ADDRESS_${shell_name}" = local.made[name].addresses["serving"]
    }]...),
  )

  # The sources that the load balancers of the mesh and of Prometheus accept.
  peer_cidrs = [for address in values(local.peers) : "${address}/32"]
  peers_yaml = join("---\n", [for service in ["mesh", "prometheus"] : yamlencode({
    apiVersion = "v1"
    kind       = "Service"
    metadata   = { name = "regionmesh-${service}", namespace = "regionmesh" }
    spec       = { loadBalancerSourceRanges = local.peer_cidrs }
  })])

  # Unused in dns_mode mesh, where Route 53 does not answer for the zone.
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
      "base/agent/mesh.toml"  = local.mesh_toml
    },
    { for name, region in local.made : "overlays/${name}/region.env" => region.region_env },
    { for name, region in local.made : "overlays/${name}/cloud.env" => merge(
      region.cloud_env,
      module.dns.leader_role_arn == null ? {} : { LEADER_ROLE = module.dns.leader_role_arn },
    ) },
    { for name, region in var.regions : "overlays/${name}/like" => local.like[region.cloud] },
    { for name, components in local.components : "overlays/${name}/components" => components },
  )

  # The overlay that a region starts from if the repository has none for it.
  like = { aws = "us-west-2", gcp = "eu-west-1", azure = "ap-south-1" }
}

output "kubernetes_settings" {
  description = "Files below kubernetes/ and their content, for scripts/deploy.sh."
  value = { for path, content in local.files :
    path => try(join("", [for name, value in content : "${name}=${value}\n"]), content)
  }
}

output "service" {
  description = "The name that users query."
  value       = module.dns.service
}

output "name_servers" {
  description = "Name servers of domain_name, for the registrar."
  value       = module.dns.name_servers
}

output "zone_id" {
  description = "The hosted zone of domain_name."
  value       = module.dns.zone_id
}

output "dns_leader_role_arn" {
  description = "dns_mode leader: the role that agents outside AWS assume."
  value       = module.dns.leader_role_arn
}

output "kubectl" {
  description = "By region: the command that creates a kubectl context for its cluster."
  value       = { for name, region in local.made : name => region.kubectl }
}

output "contexts" {
  description = "By region: the name of that context, for environments/ENV/contexts.env."
  value       = { for name, region in local.made : name => region.context }
}

output "registries" {
  description = "By region: the image repository to push to."
  value       = { for name, region in local.made : name => region.registry }
}

output "stores" {
  description = "By region: the store of its agents."
  value       = { for name, region in local.made : name => region.store_url }
}

output "cost_exports" {
  description = "By cloud: the billing export, as in the agents' cost.exports."
  value       = local.cost_exports
}

output "azure_cost_exports" {
  description = "The requests that create Azure's exports, which azurerm can't: docs/how-to/deploy-with-terraform.md."
  value       = local.azure_cost_exports
}

output "addresses" {
  description = "By region: the fixed public address of each service, and its egress addresses."
  value = { for name, region in local.made : name => {
    services = region.addresses
    egress   = region.egress_addresses
  } }
}

output "mesh_ingress" {
  description = "By region: sources that may reach the mesh port."
  value = { for name, module in merge(
    module.aws_first_peers, module.aws_second_peers, module.aws_third_peers,
    module.gcp_peers, module.azure_peers,
  ) : name => module.ingress }
}
