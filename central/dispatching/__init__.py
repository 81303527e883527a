"""Match requests on their way: answered, or held until something fits."""
