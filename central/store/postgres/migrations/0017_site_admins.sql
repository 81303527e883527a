-- Site admins: they have a site, and neither community nor group. Who is one of several sites has a row for each.
ALTER TABLE members ADD COLUMN site text NOT NULL DEFAULT '';  -- empty: a member of a group
ALTER TABLE members DROP CONSTRAINT members_community_group_owner_key;
ALTER TABLE members ADD UNIQUE (community, "group", owner, site);

ALTER TABLE api_tokens ADD COLUMN site text NOT NULL DEFAULT '';

-- The pilots of one site are listed for its admins.
CREATE INDEX pilots_by_site ON pilots (site, state, (-id));
