"""Amazon's EC2, and what speaks its language, by boto3 (the extra ``ec2``).

Not by Libcloud, whose driver starts machines by a GET with the user-data, and so a one-time secret, in the URL, where
proxies log it, and which knows neither the options of the metadata service nor those of a spot request.
"""
