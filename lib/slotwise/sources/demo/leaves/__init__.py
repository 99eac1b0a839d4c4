"""Tomato leaves drawn with Pillow, healthy and ill, as a folder that is laid out and named like PlantVillage's."""
