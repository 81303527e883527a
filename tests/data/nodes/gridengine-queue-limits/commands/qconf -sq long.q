qname                 long.q
s_rt                  INFINITY
h_rt                  24:00:00
s_cpu                 INFINITY
h_cpu                 02:00:00
h_vmem                4G
s_vmem                INFINITY
h_rss                 INFINITY
