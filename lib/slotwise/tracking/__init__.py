"""A run as other tools show it: TensorBoard's event files while it trains, an MLflow run once it has ended."""
