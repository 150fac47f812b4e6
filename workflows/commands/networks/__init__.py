"""Commands on networks without a campaign."""
