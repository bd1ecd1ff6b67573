# What terraform and its providers must be. google 7 and azurerm 5 change resources that are used here.
terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }

  # Where the state is. scripts/deploy.sh says which file, or puts the environment's backend.tf in this one's place.
  backend "local" {}
}
