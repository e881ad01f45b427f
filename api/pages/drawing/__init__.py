"""Charts that the server draws as SVG: here is where everything goes, the templates only write it down."""
