"""A Django project behind Hexclave, with Django REST framework."""
