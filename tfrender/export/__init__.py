"""Export: SavedModels with guards, TFLite files, TF Serving files, model cards."""
