# The platform of an environment: one module per region, network access, DNS names.

locals {
  name = "${var.project_name}-${var.environment}"

  # Two vCPUs for an agent, four for a model server; types that are available in nearly every
  # location.
  machines = {
    aws   = { agent = "m6i.large", serving = "c6i.xlarge", gpu = "g5.xlarge" }
    gcp   = { agent = "n2-standard-2", serving = "n2-standard-4", gpu = "g2-standard-4" }
    azure = { agent = "Standard_D2s_v5", serving = "Standard_F4s_v2", gpu = "Standard_NC4as_T4_v3" }
  }

  regions = {
    for name, region in var.regions : name => merge(region, {
      name               = "${local.name}-${name}"
      agent_machine      = coalesce(region.agent_machine, local.machines[region.cloud].agent)
      serving_machine    = coalesce(region.serving_machine, local.machines[region.cloud].serving)
      gpu_machine        = coalesce(region.gpu_machine, local.machines[region.cloud].gpu)
      kubernetes_version = coalesce(region.kubernetes_version, var.kubernetes_version)
      latency_region     = coalesce(region.latency_region, region.location)
    })
  }

  mesh_zone = "${var.mesh_subdomain}.${var.domain_name}"
  mesh_port = 7443
  routing   = var.enable_weighted_routing ? "weighted" : var.routing_policy
  # Services with a fixed address in every region. Route 53 queries agents for verdicts unless
  # dns_mode is mesh.
  addresses = toset(concat(["mesh", "dns", "serving", "prometheus"], var.dns_mode == "mesh" ? [] : ["verdict"]))

  checker_cidrs = var.dns_mode == "mesh" ? [] : coalesce(var.health_checker_cidrs, one(data.aws_ip_ranges.checkers[*].cidr_blocks))

  made = merge(module.aws_first, module.aws_second, module.aws_third, module.gcp, module.azure)

  # Sources that each region's mesh port allows: every region including its own, because its agents
  # reach its public address through its NAT.
  peers = merge([for name, region in local.made : { for index, address in region.egress_addresses : "${name}-${index}" => address }]...)
}

data "aws_ip_ranges" "checkers" {
  count    = var.dns_mode != "mesh" && var.health_checker_cidrs == null ? 1 : 0
  services = ["route53_healthchecks"]
}

module "aws_first" {
  source               = "./modules/aws"
  for_each             = { for name, region in local.regions : name => region if region.cloud == "aws" && region.slot == 0 }
  name                 = each.value.name
  region               = each.key
  location             = each.value.location
  network_cidr         = each.value.network_cidr
  kubernetes_version   = each.value.kubernetes_version
  agent_machine        = each.value.agent_machine
  serving_machine      = each.value.serving_machine
  gpu_machine          = each.value.gpu_machine
  agent_nodes          = each.value.agent_nodes
  serving_nodes_min    = each.value.serving_nodes_min
  serving_nodes_max    = each.value.serving_nodes_max
  use_spot_instances   = var.use_spot_instances
  enable_gpu           = var.enable_gpu
  gpu_nodes_max        = var.gpu_nodes_max
  cluster_access_cidrs = var.cluster_access_cidrs
  addresses            = local.addresses
  log_retention_days   = var.log_retention_days
  takes_cost_exports   = each.key == local.cost_regions["aws"]
  protect_data         = var.protect_data
  eks_addons           = var.eks_addons
}

module "aws_second" {
  source               = "./modules/aws"
  providers            = { aws = aws.second }
  for_each             = { for name, region in local.regions : name => region if region.cloud == "aws" && region.slot == 1 }
  name                 = each.value.name
  region               = each.key
  location             = each.value.location
  network_cidr         = each.value.network_cidr
  kubernetes_version   = each.value.kubernetes_version
  agent_machine        = each.value.agent_machine
  serving_machine      = each.value.serving_machine
  gpu_machine          = each.value.gpu_machine
  agent_nodes          = each.value.agent_nodes
  serving_nodes_min    = each.value.serving_nodes_min
  serving_nodes_max    = each.value.serving_nodes_max
  use_spot_instances   = var.use_spot_instances
  enable_gpu           = var.enable_gpu
  gpu_nodes_max        = var.gpu_nodes_max
  cluster_access_cidrs = var.cluster_access_cidrs
  addresses            = local.addresses
  log_retention_days   = var.log_retention_days
  takes_cost_exports   = each.key == local.cost_regions["aws"]
  protect_data         = var.protect_data
  eks_addons           = var.eks_addons
}

module "aws_third" {
  source               = "./modules/aws"
  providers            = { aws = aws.third }
  for_each             = { for name, region in local.regions : name => region if region.cloud == "aws" && region.slot == 2 }
  name                 = each.value.name
  region               = each.key
  location             = each.value.location
  network_cidr         = each.value.network_cidr
  kubernetes_version   = each.value.kubernetes_version
  agent_machine        = each.value.agent_machine
  serving_machine      = each.value.serving_machine
  gpu_machine          = each.value.gpu_machine
  agent_nodes          = each.value.agent_nodes
  serving_nodes_min    = each.value.serving_nodes_min
  serving_nodes_max    = each.value.serving_nodes_max
  use_spot_instances   = var.use_spot_instances
  enable_gpu           = var.enable_gpu
  gpu_nodes_max        = var.gpu_nodes_max
  cluster_access_cidrs = var.cluster_access_cidrs
  addresses            = local.addresses
  log_retention_days   = var.log_retention_days
  takes_cost_exports   = each.key == local.cost_regions["aws"]
  protect_data         = var.protect_data
  eks_addons           = var.eks_addons
}

module "gcp" {
  source               = "./modules/gcp"
  for_each             = { for name, region in local.regions : name => region if region.cloud == "gcp" }
  project_id           = var.gcp_project_id
  name                 = each.value.name
  region               = each.key
  location             = each.value.location
  network_cidr         = each.value.network_cidr
  kubernetes_version   = each.value.kubernetes_version
  agent_machine        = each.value.agent_machine
  serving_machine      = each.value.serving_machine
  gpu_machine          = each.value.gpu_machine
  gpu_type             = each.value.gpu_type
  agent_nodes          = each.value.agent_nodes
  serving_nodes_min    = each.value.serving_nodes_min
  serving_nodes_max    = each.value.serving_nodes_max
  use_spot_instances   = var.use_spot_instances
  enable_gpu           = var.enable_gpu
  gpu_nodes_max        = var.gpu_nodes_max
  cluster_access_cidrs = var.cluster_access_cidrs
  addresses            = local.addresses
  log_retention_days   = var.log_retention_days
  protect_data         = var.protect_data
}

module "azure" {
  source               = "./modules/azure"
  for_each             = { for name, region in local.regions : name => region if region.cloud == "azure" }
  name                 = each.value.name
  region               = each.key
  location             = each.value.location
  network_cidr         = each.value.network_cidr
  kubernetes_version   = each.value.kubernetes_version
  agent_machine        = each.value.agent_machine
  serving_machine      = each.value.serving_machine
  gpu_machine          = each.value.gpu_machine
  agent_nodes          = each.value.agent_nodes
  serving_nodes_min    = each.value.serving_nodes_min
  serving_nodes_max    = each.value.serving_nodes_max
  use_spot_instances   = var.use_spot_instances
  enable_gpu           = var.enable_gpu
  gpu_nodes_max        = var.gpu_nodes_max
  cluster_access_cidrs = var.cluster_access_cidrs
  addresses            = local.addresses
  log_retention_days   = var.log_retention_days
  takes_cost_exports   = each.key == local.cost_regions["azure"]
  protect_data         = var.protect_data
  tags                 = local.tags
}

# The peers' addresses are known only after all regions, so access rules come last.
module "aws_first_peers" {
  source            = "./modules/aws/peers"
  for_each          = module.aws_first
  security_group_id = each.value.security_group_id
  peers             = local.peers
  mesh_port         = local.mesh_port
}

module "aws_second_peers" {
  source            = "./modules/aws/peers"
  providers         = { aws = aws.second }
  for_each          = module.aws_second
  security_group_id = each.value.security_group_id
  peers             = local.peers
  mesh_port         = local.mesh_port
}

module "aws_third_peers" {
  source            = "./modules/aws/peers"
  providers         = { aws = aws.third }
  for_each          = module.aws_third
  security_group_id = each.value.security_group_id
  peers             = local.peers
  mesh_port         = local.mesh_port
}

module "gcp_peers" {
  source       = "./modules/gcp/peers"
  for_each     = module.gcp
  name         = local.regions[each.key].name
  network      = each.value.network
  network_cidr = local.regions[each.key].network_cidr
  peers        = local.peers
  mesh_port    = local.mesh_port
}

module "azure_peers" {
  source         = "./modules/azure/peers"
  for_each       = module.azure
  resource_group = each.value.resource_group
  security_group = each.value.security_group
  peers          = local.peers
  mesh_port      = local.mesh_port
  checker_cidrs  = local.checker_cidrs
}

module "dns" {
  source       = "./modules/dns"
  providers    = { aws = aws.global }
  name         = local.name
  domain_name  = var.domain_name
  mesh_zone    = local.mesh_zone
  zone_id      = var.route53_zone_id
  protect_data = var.protect_data
  mode         = var.dns_mode
  routing      = local.routing
  regions = {
    for name, region in local.regions : name => {
      addresses      = local.made[name].addresses
      priority       = region.priority
      weight         = region.weight
      latency_region = region.latency_region
    }
  }
  leader_role_names = { for name, region in merge(module.aws_first, module.aws_second, module.aws_third) : name => region.agent_role_name }
  leader_issuers    = { for name, region in merge(module.gcp, module.azure) : name => region.issuer }
}
