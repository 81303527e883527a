"""OpenStack over Apache Libcloud: Keystone with application credentials, Nova, and of Glance and Neutron the lists."""
